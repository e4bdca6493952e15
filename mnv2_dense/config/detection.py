"""What the config of a detector may hold."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mnv2_dense.config.sections import (
    SAME_PICTURES,
    Backbone,
    Count,
    CountOrZero,
    Data,
    Fraction,
    Input,
    NotNegative,
    Optimizer,
    Positive,
    RunName,
    Schedule,
    Section,
    Training,
    Width,
)

Scale = Annotated[float, Field(gt=0, le=1)]


LAYOUTS = {
    "coco": {
        "train_images": "train2017",
        "train_annotations": "annotations/instances_train2017.json",
        "val_images": "val2017",
        "val_annotations": "annotations/instances_val2017.json",
    },
    "voc": {
        "train_images": "JPEGImages",
        "train_annotations": "Annotations",
        "train_list": "ImageSets/Main/train.txt",
        "val_images": "JPEGImages",
        "val_annotations": "Annotations",
        "val_list": "ImageSets/Main/val.txt",
    },
}
"""Where COCO 2017 and VOC 2012 have their files."""

DRAWN_LAYOUTS = {
    "coco": {"train_images": "images", "train_annotations": "annotations.json"},
    "voc": {"train_images": "JPEGImages", "train_annotations": "Annotations"},
}


OF_USUAL_PICTURES = {"voc": ("annotations", "list")}
"""Beside other pictures VOC's XML files are taken from the same folder, without a list."""


class DetectionData(Data):
    """Where the pictures and boxes are; keys not given name the places of the format."""

    format: Literal["coco", "voc", "yolo"] = "coco"
    """COCO's instances files, Pascal VOC's XML files, or YOLO's text files with a data.yaml."""
    root: str = "data/coco"
    """Folder of the data set, relative to the working directory or absolute."""
    train_images: str | None = None
    """Folder of the training pictures, relative to `root` (COCO: train2017; YOLO: null asks
    data.yaml)."""
    train_annotations: str | None = None
    """COCO's file or VOC's folder of the training boxes (annotations/instances_train2017.json,
    Annotations; null: VOC's files are beside the pictures)."""
    train_list: str | None = None
    """VOC's list of training pictures (ImageSets/Main/train.txt); null takes all of the folder."""
    val_images: str | None = None
    """Folder of the validation pictures."""
    val_annotations: str | None = None
    """File or folder of the validation boxes."""
    val_list: str | None = None
    """VOC's list of validation pictures."""
    num_classes: Count | None = None
    """Classes without background; null takes the annotation file's, a number is checked with it."""

    layouts = LAYOUTS
    drawn_layouts = DRAWN_LAYOUTS
    of_usual_pictures = OF_USUAL_PICTURES

    @model_validator(mode="after")
    def _keys_are_of_the_format(self) -> "DetectionData":
        needed = {"coco": ("train_images", "train_annotations"), "voc": ("train_images",)}
        missing = [key for key in needed.get(self.format, ()) if getattr(self, key) is None]
        if missing:
            raise ValueError(f"format {self.format} needs {' and '.join(missing)}")
        if (
            self.format == "voc"
            and self.train_images == self.val_images
            and (
                self.train_annotations == self.val_annotations
                and self.train_list is None is self.val_list
            )
        ):
            raise ValueError(SAME_PICTURES)
        if self.format != "voc" and (self.train_list or self.val_list):
            raise ValueError(f"train_list and val_list are keys of format voc, not {self.format}")
        return self


class DetectionInput(Input):
    """What the network is given: size, how pictures are brought to it, and normalisation."""

    resize: Literal["bilinear", "legacy_bilinear"] = "bilinear"
    """Bilinear by pixel centres, or TensorFlow 1's rule without them (its releases')."""


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


class DetectionHead(Section):
    """SSDLite's extra levels and prediction layers (paper, section 6.2), or those of full SSD."""

    name: Literal["ssdlite", "ssd"] = "ssdlite"
    """Depthwise-separable layers, or plain 3x3 convolutions (paper, Table 5)."""
    taps: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Maps of the backbone that predict, finest first; null takes the backbone's own pair.
    For small objects give one of stride 8 before them: [block_6_expansion, block_13_expansion,
    last] of mobilenet_v2. The anchors then follow: see `anchors.scales`."""
    extra_channels: tuple[Count, ...] = (512, 256, 256, 128)
    """Output channels of the levels added below stride 32, each halving the resolution."""
    width_mult: Width = 1.0
    """Width multiplier on `extra_channels` (never below 16 channels)."""


class Anchors(Section):
    """The released SSD anchor generator."""

    scales: Annotated[tuple[Scale, ...], Field(min_length=1)] | None = None
    """Anchor scale of every level (taps, then extra ones), finest first, as a share of the shorter
    input side; null spaces them evenly from `min_scale` to `max_scale`. A tap more is a level
    more: evenly spaced, the finest still gets `min_scale`. `mnv2-dense fit_anchors` proposes them
    for a data set."""
    min_scale: Scale = 0.2
    """Anchor scale of the first level, unless `scales` is given."""
    max_scale: Scale = 0.95
    """Anchor scale of the last level, unless `scales` is given."""
    aspect_ratios: tuple[Positive, ...] = (1.0, 2.0, 0.5, 3.0, 0.3333)
    """Width / height of the anchors of every level but the first; each level has one square more,
    at the geometric mean of its scale and the next."""
    reduce_lowest_level: bool = True
    """Three anchors on the first level, the finest: a small square and two of ratio 2 and 1/2."""
    lowest_scale: Scale = 0.1
    """Anchor scale of that small square."""

    @model_validator(mode="after")
    def _scales_grow(self) -> "Anchors":
        if self.min_scale >= self.max_scale:
            raise ValueError("min_scale must be below max_scale")
        scales = self.scales or ()
        if any(scale >= following for scale, following in pairwise(scales)):
            raise ValueError("scales must grow from level to level, finest first")
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
    nms: Literal["per_class", "across_classes"] = "per_class"
    """Boxes compete within their class, or all, each anchor for its best class (TFLite's fast)."""
    nms_iou_threshold: Fraction = 0.6
    """Overlap above which the lower-scored of two competing boxes is dropped (TF release: 0.6)."""
    max_candidates: Count | None = 1000
    """Best class-anchor pairs per image that enter NMS; null lets all in."""
    max_detections_per_class: Count | None = None
    """Detections kept per class and image, whatever the NMS (TF release: 100); null keeps all."""
    max_detections: Count = 100
    """Detections kept per image; COCO evaluates 100."""


class DetectionEvaluation(Section):
    """How detections are measured."""

    backend: Literal["mnv2_dense", "pycocotools"] = "mnv2_dense"
    """What computes COCO's numbers: this project's evaluator, or pycocotools: the same numbers, in
    many times the time."""


class DetectionConfig(Section):
    """A detector, its data and its training."""

    task: Literal["detection"] = "detection"
    """What the network predicts."""
    name: RunName = "ssdlite"
    """Name of the runs of this config: letters, digits, `_`, `.` and `-`."""
    data: DetectionData = DetectionData()
    input: DetectionInput = DetectionInput()
    augmentation: DetectionAugmentation = DetectionAugmentation()
    backbone: Backbone = Backbone()
    head: DetectionHead = DetectionHead()
    anchors: Anchors = Anchors()
    matching: Matching = Matching()
    loss: DetectionLoss = DetectionLoss()
    decode: Decode = Decode()
    evaluation: DetectionEvaluation = DetectionEvaluation()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    training: Training = Training()
