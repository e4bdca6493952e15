"""What a config file may hold: sections, keys, defaults and their meaning.

The string under a key is its documentation; `--print-schema` shows it. A file has three
levels only: file, section, key.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
PerChannel = tuple[float, float, float]


class Section(BaseModel):
    """A group of keys: frozen, and closed to keys it does not name."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class DetectionData(Section):
    """Where the pictures and boxes are, in COCO's own layout."""

    root: str = "data/coco"
    """Folder of the data set, relative to the working directory or absolute."""
    train_images: str = "train2017"
    """Folder of the training pictures, relative to `root` or absolute."""
    train_annotations: str = "annotations/instances_train2017.json"
    """COCO instances file of the training pictures, relative to `root` or absolute."""
    val_images: str = "val2017"
    """Folder of the validation pictures, relative to `root` or absolute."""
    val_annotations: str = "annotations/instances_val2017.json"
    """COCO instances file of the validation pictures, relative to `root` or absolute."""
    num_classes: Count | None = None
    """Classes without background; null takes the annotation file's, a number is checked with it."""
    generate: Literal["shapes"] | None = None
    """Built-in data set to draw into `root` when `root` does not exist."""
    batch_size: Count = 24
    """Training images per step and process."""
    val_batch_size: Count = 24
    """Validation images per step and process."""
    num_workers: CountOrZero = 4
    """Loader processes per training process; 0 loads in the training process itself."""


class Input(Section):
    """What the network is given: size and normalisation."""

    height: Annotated[int, Field(ge=32, le=4096)] = 320
    """Height in pixels that every picture is resized to."""
    width: Annotated[int, Field(ge=32, le=4096)] = 320
    """Width in pixels that every picture is resized to."""
    mean: PerChannel = (123.675, 116.28, 103.53)
    """Subtracted from RGB values 0-255 (torchvision's ImageNet weights expect the default)."""
    std: tuple[Positive, Positive, Positive] = (58.395, 57.12, 57.375)
    """RGB values are divided by it after the mean is subtracted."""


class DetectionAugmentation(Section):
    """Changes made to training pictures; evaluation only resizes."""

    photometric: Fraction = 0.5
    """Probability of each of brightness, contrast, saturation and hue distortion."""
    expand: Fraction = 0.5
    """Probability of placing the picture on a larger canvas of the mean colour (zoom-out)."""
    expand_max_ratio: Annotated[float, Field(ge=1)] = 4.0
    """Largest ratio of the canvas side to the picture side."""
    iou_crop: Fraction = 0.8571
    """Probability of a crop with a minimum IoU with some box (SSD: 6 of its 7 options crop)."""
    iou_crop_min_scale: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Smallest ratio of the crop side to the picture side."""
    horizontal_flip: Fraction = 0.5
    """Probability of a left-right flip."""


class Backbone(Section):
    """The feature extractor (paper, Table 2)."""

    name: Literal["mobilenet_v2"] = "mobilenet_v2"
    """Which network."""
    width_mult: Annotated[float, Field(gt=0, le=8)] = 1.0
    """Width multiplier on the channels of every layer, rounded to multiples of 8."""
    output_stride: Literal[8, 16, 32] = 32
    """Input pixels per cell of the last map; below 32 later blocks are dilated instead."""
    padding: Literal["symmetric", "same"] = "symmetric"
    """`symmetric` pads as torchvision, `same` as TensorFlow."""
    norm_epsilon: Positive = 0.001
    """Epsilon of every batch norm, head included (TF release: 0.001; torchvision: 1e-5)."""
    norm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.03
    """Momentum of running statistics in PyTorch's sense: 1 - TensorFlow's decay."""
    weights: str | None = None
    """`imagenet` (torchvision's, downloaded), a path to a local file, or null for random."""


class DetectionHead(Section):
    """SSDLite's extra levels and prediction layers (paper, section 6.2)."""

    extra_channels: tuple[Count, ...] = (512, 256, 256, 128)
    """Output channels of the levels added below stride 32, each halving the resolution."""
    width_mult: Annotated[float, Field(gt=0, le=8)] = 1.0
    """Width multiplier on `extra_channels` (never below 16 channels)."""


class Anchors(Section):
    """The released SSD anchor generator."""

    min_scale: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Anchor scale of the first level, as a share of the shorter input side."""
    max_scale: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Anchor scale of the last level."""
    aspect_ratios: tuple[Positive, ...] = (1.0, 2.0, 0.5, 3.0, 0.3333)
    """Width / height of the anchors of every level but the first."""
    reduce_lowest_level: bool = True
    """Three anchors on the first level: a small square and two of ratio 2 and 1/2."""

    @model_validator(mode="after")
    def _scales_grow(self) -> "Anchors":
        if self.min_scale >= self.max_scale:
            raise ValueError("min_scale must be below max_scale")
        return self


class Matching(Section):
    """Which anchors stand for which ground truth."""

    match_iou_threshold: Fraction = 0.5
    """An anchor of at least this IoU with a box is positive for it."""
    force_match: bool = True
    """Every ground truth also takes its best anchor, whatever their IoU."""


class DetectionLoss(Section):
    """Classification and localisation loss of SSD."""

    classification: Literal["softmax", "sigmoid", "focal"] = "softmax"
    """Cross-entropy over classes, one sigmoid per class (TF release), or sigmoid focal loss."""
    classification_weight: NotNegative = 1.0
    """Factor of the classification loss."""
    localization_weight: NotNegative = 1.0
    """Factor of the smooth L1 loss on box deltas."""
    negatives_per_positive: Positive = 3.0
    """Hardest negatives kept per positive anchor (softmax and sigmoid)."""
    min_negatives_per_image: CountOrZero = 3
    """Negatives kept in an image that has too few positives."""
    max_examples_per_image: Count = 3000
    """Anchors considered by hard-negative mining, highest loss first."""
    mining_nms_iou: Fraction | None = None
    """IoU of the NMS before mining (TF release: 0.99); null skips it, as the SSD paper does."""
    focal_alpha: Fraction = 0.25
    """Weight of the positive class in focal loss."""
    focal_gamma: NotNegative = 2.0
    """Focusing exponent of focal loss."""


class Decode(Section):
    """From raw outputs to boxes."""

    score_threshold: Fraction = 0.01
    """Detections of a lower score are dropped."""
    nms_iou_threshold: Fraction = 0.6
    """Overlap above which the lower-scored box of a class is dropped (TF release: 0.6)."""
    max_candidates: Count | None = 1000
    """Best class-anchor pairs per image that enter NMS; null lets all in."""
    max_detections_per_class: Count | None = None
    """Detections kept per class and image (TF release: 100); null keeps all."""
    max_detections: Count = 100
    """Detections kept per image; COCO evaluates 100."""


class Optimizer(Section):
    """The optimiser; norms and biases are never decayed."""

    name: Literal["sgd", "rmsprop", "adamw"] = "sgd"
    """Which optimiser."""
    learning_rate: Positive = 0.015
    """Peak learning rate, for the whole batch of all processes as configured."""
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
    accumulate_batches: Count = 1
    """Batches per optimiser step."""
    gradient_clip_norm: Positive | None = None
    """Largest norm of the whole gradient; null does not clip."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of the exponential moving average that is evaluated and saved; null for none."""
    freeze_norm_epochs: CountOrZero = 0
    """Last epochs in which batch norms use and keep their running statistics."""
    validate_every: Count = 1
    """Epochs between evaluations; the last epoch is always evaluated."""
    early_stopping_patience: Count | None = None
    """Evaluations without a better score before the run stops; null never stops early."""
    log_every: Count = 50
    """Steps between logged values."""
    output: str = "runs"
    """Folder that holds the run folders, OUTPUT/NAME/DATE-TIME."""


class DetectionConfig(Section):
    """A detector, its data and its training."""

    task: Literal["detection"] = "detection"
    """What the network predicts."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "ssdlite"
    """Name of the runs of this config: letters, digits, `_`, `.` and `-`."""
    data: DetectionData = DetectionData()
    input: Input = Input()
    augmentation: DetectionAugmentation = DetectionAugmentation()
    backbone: Backbone = Backbone()
    head: DetectionHead = DetectionHead()
    anchors: Anchors = Anchors()
    matching: Matching = Matching()
    loss: DetectionLoss = DetectionLoss()
    decode: Decode = Decode()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    training: Training = Training()
