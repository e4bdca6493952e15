"""What the config of a segmenter may hold."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mnv2_dense.config.sections import (
    SAME_PICTURES,
    Backbone,
    BelowOne,
    Count,
    Data,
    Fraction,
    Input,
    InputSide,
    Momentum,
    NotNegative,
    Optimizer,
    Positive,
    RunName,
    Schedule,
    Section,
    Training,
)

VOID = 255
"""`structures.IGNORE_INDEX`, written again because a config is read without torch."""

ByteValue = Annotated[int, Field(ge=0, le=255)]
Color = tuple[ByteValue, ByteValue, ByteValue]
OutputStride = Literal[8, 16, 32]


LAYOUTS = {
    "voc": {
        "train_images": "JPEGImages",
        "train_masks": "SegmentationClass",
        "train_list": "ImageSets/Segmentation/train.txt",
        "val_images": "JPEGImages",
        "val_masks": "SegmentationClass",
        "val_list": "ImageSets/Segmentation/val.txt",
    },
    "folders": {
        "train_images": "images/train",
        "train_masks": "masks/train",
        "val_images": "images/val",
        "val_masks": "masks/val",
    },
    "cityscapes": {
        "train_images": "leftImg8bit/train",
        "train_masks": "gtFine/train",
        "val_images": "leftImg8bit/val",
        "val_masks": "gtFine/val",
        "image_suffix": "_leftImg8bit.png",
        "mask_suffix": "_gtFine_labelIds.png",
    },
    "camvid": {
        "train_images": "train",
        "train_masks": "train_labels",
        "val_images": "val",
        "val_masks": "val_labels",
        "mask_suffix": "_L.png",
    },
    "roboflow": {
        "train_images": "train",
        "train_masks": "train",
        "val_images": "valid",
        "val_masks": "valid",
        "image_suffix": ".jpg",
        "mask_suffix": "_mask.png",
    },
    "coco": {
        "train_images": "train2017",
        "train_annotations": "annotations/instances_train2017.json",
        "val_images": "val2017",
        "val_annotations": "annotations/instances_val2017.json",
    },
}
"""Where known data sets and tools have their files, and a usual place of others'."""

DRAWN_LAYOUTS = {
    "voc": {"train_images": "JPEGImages", "train_masks": "SegmentationClass"},
    "folders": {"train_images": "images", "train_masks": "masks"},
    **{
        name: {key: place for key, place in LAYOUTS[name].items() if not key.startswith("val_")}
        for name in ("cityscapes", "camvid", "roboflow")
    },
    "coco": {"train_images": "images", "train_annotations": "annotations.json"},
}


OF_USUAL_PICTURES = {"voc": ("list",)}
"""Other pictures than VOC's have no list of its."""


class SegmentationData(Data):
    """Where pictures and masks are; keys not given name the places of the format."""

    format: Literal["voc", "folders", "cityscapes", "camvid", "roboflow", "coco"] = "voc"
    """VOC's layout, folders of pictures and masks, Cityscapes' or CamVid's names, Roboflow's masks
    beside the pictures, or COCO's instances files, whose outlines are drawn as class maps."""
    root: str = "data/VOCdevkit/VOC2012"
    """Folder of the data set, relative to the working directory or absolute."""
    train_images: str | None = None
    """Folder of the training pictures, relative to `root` or absolute (VOC: JPEGImages)."""
    train_masks: str | None = None
    """Folder of the training masks (VOC: SegmentationClass, augmented: SegmentationClassAug)."""
    train_annotations: str | None = None
    """COCO's instances file of the training pictures."""
    train_list: str | None = None
    """Text file that names a training picture per line; null takes every picture of the folder."""
    val_images: str | None = None
    """Folder of the validation pictures, relative to `root` or absolute."""
    val_masks: str | None = None
    """Folder of the validation masks."""
    val_annotations: str | None = None
    """COCO's instances file of the validation pictures."""
    val_list: str | None = None
    """Text file that names a validation picture per line; null takes every picture."""
    image_suffix: str = ""
    """End of the pictures' names that their masks lack (Cityscapes: _leftImg8bit.png)."""
    mask_suffix: str = ".png"
    """What takes its place in the masks' names (Cityscapes: _gtFine_labelTrainIds.png)."""
    classes: tuple[str, ...] | None = None
    """Class names in the order of the mask values, from 0; null asks the data for them."""
    num_classes: Count | None = None
    """Number of classes, background included; by itself it gives unnamed classes."""
    ignore_index: ByteValue = VOID
    """Mask value of void: neither trained on nor measured. Masks of 0 and 255 need `colors`."""
    colors: tuple[Color, ...] | None = None
    """RGB colour of every class: masks are then read by colour; null reads values as classes."""
    ignore_color: Color | None = None
    """RGB colour of void in such masks."""
    color_table: str | None = None
    """File of names and colours, relative to `root` (CVAT's labelmap.txt, or CSV: name,r,g,b)."""
    min_object_area: NotNegative = 0
    """COCO: pixels that the chosen objects of a training picture cover at least (DeepLab: 1000)."""
    batch_size: Count = 16
    """Training images per step and process."""
    val_batch_size: Count = 8
    """Validation images per step and process."""

    layouts = LAYOUTS
    drawn_layouts = DRAWN_LAYOUTS
    of_usual_pictures = OF_USUAL_PICTURES

    @model_validator(mode="after")
    def _keys_are_of_the_format(self) -> "SegmentationData":
        coco = self.format == "coco"
        truth, other = ("train_annotations", "train_masks")[:: 1 if coco else -1]
        missing = [key for key in ("train_images", truth) if getattr(self, key) is None]
        if missing:
            raise ValueError(f"format {self.format} needs {' and '.join(missing)}")
        if getattr(self, other) is not None:
            raise ValueError(f"format {self.format} has {truth}, not {other}")
        if self.min_object_area and not coco:
            raise ValueError("min_object_area is a key of format coco")
        same = self.train_images == self.val_images and self.train_masks == self.val_masks
        if same and not coco and self.train_list is None is self.val_list:
            raise ValueError(SAME_PICTURES)
        if self.color_table is not None and (coco or self.colors or self.classes):
            raise ValueError("color_table gives classes and colors of masks; leave the others out")
        return self

    @model_validator(mode="after")
    def _classes_agree(self) -> "SegmentationData":
        names, count = self.classes, self.num_classes
        if names is not None and count is not None and len(names) != count:
            raise ValueError(f"num_classes is {count}, but classes has {len(names)} names")
        count = count if names is None else len(names)
        if count is None:
            return self
        if not 2 <= count <= VOID:
            raise ValueError(f"{count} classes; 2 to {VOID} are possible")
        if self.ignore_index < count:
            raise ValueError(
                f"ignore_index {self.ignore_index} is a class; the {count} classes have the "
                f"values 0 to {count - 1}"
            )
        if self.colors is not None and len(self.colors) != count:
            raise ValueError(f"colors has {len(self.colors)} entries for {count} classes")
        if self.colors is not None and len({*self.colors, self.ignore_color}) != count + 1:
            raise ValueError("colors and ignore_color have a colour twice")
        return self


class SegmentationInput(Input):
    """Size of training crops and of evaluation's canvas, and normalisation."""

    height: InputSide = 513
    """Height of the network's input in pixels (release: a multiple of the stride, and one)."""
    width: InputSide = 513
    """Width of the network's input in pixels."""


class SegmentationAugmentation(Section):
    """Changes made to training pictures; evaluation only pads."""

    min_scale: Annotated[float, Field(ge=0.1, le=10)] = 0.5
    """Smallest factor on the picture's size before the crop."""
    max_scale: Annotated[float, Field(ge=0.1, le=10)] = 2.0
    """Largest factor."""
    scale_step: NotNegative = 0.25
    """Distance of the factors that are drawn from; 0 draws any number between the two."""
    horizontal_flip: Fraction = 0.5
    """Probability of a left-right flip."""
    photometric: Fraction = 0.0
    """Probability of each of brightness, contrast, saturation and hue distortion."""

    @model_validator(mode="after")
    def _scales_grow(self) -> "SegmentationAugmentation":
        if self.min_scale > self.max_scale:
            raise ValueError("min_scale must not be above max_scale")
        return self


class SegmentationBackbone(Backbone):
    """The feature extractor up to the tap that the head reads."""

    output_stride: OutputStride = 16
    """Input pixels per cell of the last map in training; later blocks are dilated instead."""
    norm_momentum: Momentum = 0.003
    """Momentum of running statistics in PyTorch's sense: 1 - TensorFlow's decay."""


class SegmentationHead(Section):
    """DeepLabv3's head (paper, section 6.3), or MobileNetV3's Lite R-ASPP."""

    name: Literal["deeplabv3", "lr_aspp"] = "deeplabv3"
    """Which head: lr_aspp, the lightest, also reads a map of stride 8 (arXiv 1905.02244)."""
    tap: str | None = None
    """The map it reads; null takes the backbone's own (block_16: the paper's 320 channels)."""
    low_level_tap: str | None = None
    """The finer map that lr_aspp also reads; null takes the backbone's own at stride 8."""
    aspp: Literal["none", "dense", "separable"] = "none"
    """Atrous branches: none (the paper's light head), full 3x3 or depthwise-separable 3x3."""
    atrous_rates: tuple[Count, ...] = (6, 12, 18)
    """Rates of the branches at output stride 16; doubled at 8, halved at 32."""
    channels: Count | None = None
    """Channels of every branch and of the projection; null takes 256, or 128 in lr_aspp."""
    dropout: BelowOne = 0.1
    """Share of values dropped before the logits in training."""
    norm_epsilon: Positive = 1e-5
    """Epsilon of the head's batch norms."""
    norm_momentum: Momentum | None = None
    """Momentum of the head's running statistics (release: 0.0003); null takes the backbone's."""
    activation: Literal["relu", "relu6"] = "relu"
    """Activation of the head; the release's is ReLU, unlike its backbone's ReLU6."""
    align_corners: bool = True
    """Resize rule of all up-sampling: whether corner pixels keep their places (release: yes)."""
    auxiliary: bool = False
    """Train a second head on an earlier map (block_12); it is not part of the prediction."""

    @model_validator(mode="after")
    def _keys_are_of_one_head(self) -> "SegmentationHead":
        if self.name == "lr_aspp" and self.aspp != "none":
            raise ValueError("lr_aspp has no atrous branches; leave out aspp")
        if self.name != "lr_aspp" and self.low_level_tap is not None:
            raise ValueError(f"{self.name} reads one map; low_level_tap is a key of lr_aspp")
        return self


class SegmentationLoss(Section):
    """Cross-entropy over pixels, void left out."""

    class_weights: tuple[NotNegative, ...] | None = None
    """Weight of every class; null weighs all alike."""
    hard_pixel_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the pixels that count, those of highest loss; 1 takes all."""
    auxiliary_weight: NotNegative = 0.4
    """Factor of the auxiliary head's loss."""


class Evaluation(Section):
    """How pictures are turned into label maps, in evaluation and prediction."""

    output_stride: OutputStride | None = None
    """Output stride, with the same weights; null keeps the backbone's."""
    scales: tuple[Annotated[float, Field(gt=0, le=8)], ...] = (1.0,)
    """Factors on the input whose class probabilities are averaged (multi-scale inference)."""
    flip: bool = False
    """Average with the left-right flipped input."""
    large_pictures: Literal["window", "shrink"] = "window"
    """A picture above the input's size is read in overlapping windows, or scaled down to fit."""
    window_overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.25
    """Least share of a window that overlaps with the next."""

    @model_validator(mode="after")
    def _has_a_scale(self) -> "Evaluation":
        if not self.scales:
            raise ValueError("scales needs one factor at least")
        return self


class SegmentationConfig(Section):
    """A segmenter, its data and its training."""

    task: Literal["segmentation"] = "segmentation"
    """What the network predicts."""
    name: RunName = "deeplabv3"
    """Name of the runs of this config: letters, digits, `_`, `.` and `-`."""
    data: SegmentationData = SegmentationData()
    input: SegmentationInput = SegmentationInput()
    augmentation: SegmentationAugmentation = SegmentationAugmentation()
    backbone: SegmentationBackbone = SegmentationBackbone()
    head: SegmentationHead = SegmentationHead()
    loss: SegmentationLoss = SegmentationLoss()
    evaluation: Evaluation = Evaluation()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    training: Training = Training()

    @model_validator(mode="after")
    def _weights_fit_classes(self) -> "SegmentationConfig":
        names, weights = self.data.classes, self.loss.class_weights
        count = self.data.num_classes if names is None else len(names)
        if weights is not None and count is not None and len(weights) != count:
            raise ValueError(f"loss.class_weights has {len(weights)} entries for {count} classes")
        return self
