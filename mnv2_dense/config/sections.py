"""The sections that every task shares: keys, defaults and their meaning.

The string under a key is its documentation; `--print-schema` shows it. A file has three
levels only: file, section, key; that of a joint network has the columns' sections one level lower.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
PerChannel = tuple[float, float, float]
InputSide = Annotated[int, Field(ge=32, le=4096)]
Width = Annotated[float, Field(gt=0, le=8)]
Momentum = Annotated[float, Field(gt=0, le=1)]
BackboneName = Literal["mobilenet_v2", "mobilenet_v1", "shufflenet_v1", "resnet_101"]
TimmName = Annotated[str, Field(pattern=r"^timm/[A-Za-z0-9_.]+$", description="timm/NAME")]
RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


SAME_PICTURES = (
    "the validation pictures would be the training pictures; give train_list and val_list, or "
    "val_share"
)


class Section(BaseModel):
    """A group of keys: frozen, and closed to keys it does not name."""

    # Built when it is used: of two tasks a command needs one.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class Data(Section):
    """What every data section begins with."""

    format: str = ""
    """How the data set is stored."""
    root: str = "data"
    """Folder of the data set, relative to the working directory or absolute."""
    classes: tuple[str, ...] | None = None
    """Names of the classes; null takes those of the data."""
    val_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the training pictures to draw for validation, instead of the `val_` keys."""
    split_seed: CountOrZero = 0
    """Another seed draws another validation share."""
    orientation: Literal["stored", "upright"] = "stored"
    """How boxes and masks were drawn: on the pixels as stored (COCO, VOC), or as EXIF turns."""
    generate: Literal["shapes"] | None = None
    """Built-in data set to draw into `root` when `root` does not exist."""
    batch_size: Count = 24
    """Training images per step and process."""
    val_batch_size: Count = 24
    """Validation images per step and process."""
    num_workers: CountOrZero = 4
    """Loader processes per training process; 0 loads in the training process itself."""
    on_bad_image: Literal["stop", "skip"] = "stop"
    """A picture or mask that cannot be used ends the run, or is left out, named and counted."""

    layouts: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """Where each format has its files: what the keys are that are not given."""
    drawn_layouts: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """The same where the validation share is drawn from one folder."""
    of_usual_pictures: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """By format, keys of a split that say nothing of other pictures than the layout's."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_places(cls, values: Any) -> Any:
        """Puts in the places of the format; null stays, where it is given.

        What belongs to the layout's pictures alone is left out where others are given.
        """
        if not isinstance(values, Mapping):
            return values
        drawn = values.get("val_share") is not None
        layouts = cls.drawn_layouts if drawn else cls.layouts
        given = values.get("format", cls.model_fields["format"].default)
        places = dict(layouts.get(given, {}) if isinstance(given, str) else {})
        for split in ("train", "val"):
            usual = places.get(f"{split}_images")
            if values.get(f"{split}_images", usual) != usual:
                for key in cls.of_usual_pictures.get(str(given), ()):
                    places.pop(f"{split}_{key}", None)
        return {**places, **values}

    @model_validator(mode="after")
    def _one_source_of_validation(self) -> "Data":
        keys = (key for key in self.layouts.get(self.format, {}) if key.startswith("val_"))
        given = [key for key in keys if getattr(self, key) is not None]
        if self.val_share is not None and given:
            raise ValueError(
                f"val_share draws the validation pictures from the training pictures; leave out "
                f"{', '.join(given)}"
            )
        return self

    @model_validator(mode="after")
    def _classes_differ(self) -> "Data":
        if self.classes is not None and len(set(self.classes)) != len(self.classes):
            raise ValueError("classes has a name twice")
        return self


class Input(Section):
    """What the network is given: size and normalisation."""

    height: InputSide = 320
    """Height of the network's input in pixels."""
    width: InputSide = 320
    """Width of the network's input in pixels."""
    mean: PerChannel = (123.675, 116.28, 103.53)
    """Subtracted from RGB values 0-255 (torchvision's ImageNet weights expect the default)."""
    std: tuple[Positive, Positive, Positive] = (58.395, 57.12, 57.375)
    """RGB values are divided by it after the mean is subtracted."""


class Backbone(Section):
    """The feature extractor (paper, Table 2), or one of those it is compared with."""

    name: BackboneName | TimmName = "mobilenet_v2"
    """Which network; timm/NAME is a model of timm that gives feature maps of any input size."""
    width_mult: Width = 1.0
    """Width multiplier on the channels of every layer (see also `channel_divisor`)."""
    output_stride: Literal[8, 16, 32] = 32
    """Input pixels per cell of the last map; below 32 later blocks are dilated instead."""
    expansion: Annotated[int, Field(ge=1, le=64)] = 6
    """Factor of MobileNetV2's expansion layers (paper: 6)."""
    min_channels: Annotated[int, Field(ge=1, le=1024)] = 8
    """Least channels of MobileNetV2's stem and bottlenecks (TF's Object Detection API: 16)."""
    channel_divisor: Annotated[int, Field(ge=1, le=1024)] = 8
    """MobileNetV2's channels are multiples of it (the authors' narrow DeepLabs: 1)."""
    last_channels: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Channels of MobileNetV2's last layer; null takes 1280, and never less at small widths."""
    first_shortcut: bool = True
    """A shortcut in MobileNetV2's first bottleneck, too, where narrow networks allow it."""
    linear_bottleneck: bool = True
    """No activation behind MobileNetV2's projections; false is Figure 6a's ReLU6."""
    shortcut: Literal["bottleneck", "expansion", "none"] = "bottleneck"
    """What MobileNetV2's shortcuts connect (Figure 6b): bottlenecks, expansions, or nothing."""
    padding: Literal["symmetric", "same"] = "symmetric"
    """`symmetric` pads as torchvision, `same` as TensorFlow."""
    norm_epsilon: Positive | None = None
    """Epsilon of the batch norms; null takes the TF release's 0.001, or a timm model's own."""
    norm_momentum: Momentum = 0.03
    """Momentum of running statistics in PyTorch's sense: 1 - TensorFlow's decay."""
    weights: str | None = None
    """`imagenet` (torchvision's or timm's, downloaded), a path to a local file, or null."""

    @model_validator(mode="after")
    def _width_exists(self) -> "Backbone":
        widths = (1.0,) if self.name.startswith("timm/") else WIDTHS.get(self.name)
        if widths is not None and self.width_mult not in widths:
            known = ", ".join(f"{width:g}" for width in widths)
            raise ValueError(f"{self.name} has no width_mult {self.width_mult:g}; it has {known}")
        return self

    @model_validator(mode="after")
    def _variant_exists(self) -> "Backbone":
        if self.name == "mobilenet_v2":
            return self
        for key in OWN_KEYS:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} is a key of mobilenet_v2; {self.name} has no such layers")
        if self.name.startswith("timm/") and self.padding == "same":
            raise ValueError("padding cannot be changed in timm models; those named tf_ pad so")
        return self


OWN_KEYS = (
    "expansion",
    "min_channels",
    "channel_divisor",
    "last_channels",
    "first_shortcut",
    "linear_bottleneck",
    "shortcut",
)
"""Keys of MobileNetV2 alone."""

WIDTHS: dict[str, tuple[float, ...]] = {"shufflenet_v1": (0.5, 1.0, 1.5, 2.0), "resnet_101": (1.0,)}
"""Widths of the networks that do not exist at any width."""


class Optimizer(Section):
    """The optimiser; norms and biases are never decayed."""

    name: Literal["sgd", "rmsprop", "adamw"] = "sgd"
    """Which optimiser."""
    learning_rate: Positive = 0.015
    """Peak learning rate, for the whole batch of all processes as configured."""
    head_rate_factor: Positive = 1.0
    """Factor on the learning rate of everything but the backbone."""
    momentum: Fraction = 0.9
    """Momentum of SGD and RMSProp."""
    nesterov: bool = False
    """Nesterov's form of SGD momentum."""
    weight_decay: NotNegative = 4e-5
    """L2 decay of weights (decoupled in AdamW)."""
    rmsprop_decay: Fraction = 0.9
    """Decay of RMSProp's running square (TF release: 0.9)."""
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    """AdamW's decay rates."""
    epsilon: Positive = 1e-8
    """Epsilon of RMSProp and AdamW (TF release: 1.0 with RMSProp)."""


class Schedule(Section):
    """Learning rate over the run, changed every step."""

    name: Literal["constant", "cosine", "poly", "step"] = "cosine"
    """Shape after the warm-up."""
    warmup_steps: CountOrZero = 500
    """Steps of linear warm-up."""
    warmup_factor: Annotated[float, Field(gt=0, le=1)] = 0.001
    """Share of the peak learning rate at the first step."""
    final_factor: Fraction = 0.0
    """Share of the peak that cosine and poly end at."""
    power: Positive = 0.9
    """Exponent of poly."""
    milestones: tuple[Fraction, ...] = (0.7, 0.9)
    """Shares of the run at which step multiplies the rate by `gamma`."""
    gamma: Fraction = 0.1
    """Factor of each milestone of step."""


class Training(Section):
    """The run: length, hardware, precision, checkpoints."""

    epochs: Count = 600
    """Passes over the training set."""
    max_steps: Count | None = None
    """Optimiser steps to stop after, if that comes before `epochs`; the schedule follows it."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """Seed of initial weights, data order and augmentation."""
    deterministic: bool = False
    """Only deterministic kernels; slower on a GPU."""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """Where to run."""
    devices: Count | Literal["auto"] = "auto"
    """Processes per node: GPUs, or CPU processes; `auto` takes every GPU or one CPU process."""
    num_nodes: Count = 1
    """Machines in the run."""
    threads: Count | None = None
    """CPU threads per process for the network; null leaves PyTorch's choice."""
    precision: Literal["32", "bf16", "16"] = "32"
    """Mixed precision: bf16 or fp16; 32 is none."""
    sync_batchnorm: bool = False
    """Norm statistics over all processes."""
    compile: bool = False
    """torch.compile the network (a minute or two at the first step)."""
    channels_last: bool = True
    """Channels-last memory format, faster on CPU and on tensor cores."""
    photometric_on: Literal["auto", "worker", "device"] = "auto"
    """Where training pictures' colours are distorted: in the loader's processes, or on the device,
    a whole batch at once; `auto` takes the device where it is a GPU."""
    accumulate_batches: Count = 1
    """Batches per optimiser step."""
    gradient_clip_norm: Positive | None = None
    """Largest norm of the whole gradient; null does not clip."""
    skip_bad_steps: CountOrZero = 0
    """Steps of a run, of a loss or gradient that is not finite, to leave out before it stops."""
    divergence_factor: Annotated[float, Field(gt=1)] | None = 10.0
    """Rise of the loss over its first 20 steps (at least 1) that stops a run; null never does."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of the exponential moving average that is evaluated and saved; null for none."""
    freeze_norm_epochs: CountOrZero = 0
    """Last epochs in which batch norms use and keep their running statistics."""
    save_every_minutes: Positive | None = 10.0
    """Minutes between checkpoints within an epoch, each end of which is saved too; null: none."""
    validate_every: Count = 1
    """Epochs between evaluations; the last epoch is always evaluated."""
    early_stopping_patience: Count | None = None
    """Evaluations without a better score before the run stops; null never stops early."""
    log_every: Count = 50
    """Steps between logged values."""
    report: bool = True
    """Write `report.html` into the run's folder at its end (mnv2-dense report does it later)."""
    output: str = "runs"
    """Folder that holds the run folders, OUTPUT/NAME/DATE-TIME."""
