"""Pictures named by a classifier: the classes of the highest probability."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms
from torchvision.models import MobileNet_V2_Weights
from typing_extensions import override

from mnv2_dense.backbone.mobilenet_v2 import PUBLISHED_WIDTHS
from mnv2_dense.builders.backbones import build_classifier
from mnv2_dense.builders.opening import check_variant, read_card
from mnv2_dense.commands.prediction_kinds import Prediction, Recorder, Source
from mnv2_dense.commands.prediction_options import TOP
from mnv2_dense.config.checking import Given, build
from mnv2_dense.config.classification import ClassifierBackbone, ClassifierConfig, ClassifierInput
from mnv2_dense.config.loader import parse_overrides
from mnv2_dense.config.sections import WIDTHS
from mnv2_dense.errors import UserError
from mnv2_dense.images import read_image
from mnv2_dense.ops.state_dict import list_differences, load_state_dict

RESIZE_RATIO = 232 / 224
"""Shorter side of the resized picture over the longer side of its crop.

Source: the preset of torchvision's `MobileNet_V2_Weights.IMAGENET1K_V2`; other sizes of input
keep its ratio.
"""
MAX_ELONGATION = 20
"""Sides of a picture above this ratio are cut first: resized whole, a thin one fills memory."""


class ImageClassifier(Recorder):
    """Names pictures.

    Args:
        network: Images [B, 3, H, W] to logits [B, number of classes].
        given: Size and normalisation of its input.
        names: Of the classes, in label order.
        top: How many classes a picture is given, fewer if there are fewer.
    """

    records_name = "classes.json"
    result_folders = ()

    def __init__(
        self, network: nn.Module, given: ClassifierInput, names: Sequence[str], top: int = TOP
    ) -> None:
        self.network = network.eval()
        self.transform = build_transform(given)
        self.names = names
        self.top = min(top, len(names))

    def see(self, image: np.ndarray) -> Tensor:
        """Probabilities of the classes for a picture, uint8 RGB [H, W, 3]."""
        with torch.inference_mode():
            prepared = self.transform(Image.fromarray(image)).unsqueeze(0)
            return self.network(prepared)[0].softmax(0)

    @override
    def predict(self, source: Source, out: Path) -> Prediction:
        scores = self.see(read_image(source.path, upright=True))
        best = zip(*(each.tolist() for each in scores.topk(self.top)), strict=True)
        classes = [
            {"label": label, "name": self.names[label], "score": score} for score, label in best
        ]
        words = ", ".join(f"{each['name']} {each['score']:.1%}" for each in classes)
        return Prediction(words, [{"file_name": str(source.path), "classes": classes}])


def build_transform(given: ClassifierInput) -> transforms.Compose:
    """A picture to the network's input [3, H, W]: resized, its middle, normalised.

    Bit for bit what torchvision's preset gives; its transforms of version 2 round otherwise.
    """
    size = (given.height, given.width)
    return transforms.Compose(
        [
            transforms.Lambda(_shorten),
            transforms.Resize(round(max(size) * RESIZE_RATIO)),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(
                [mean / 255 for mean in given.mean], [std / 255 for std in given.std]
            ),
        ]
    )


def _shorten(image: Image.Image) -> Image.Image:
    """The middle of a picture that is longer than `MAX_ELONGATION` times its shorter side."""
    longest = MAX_ELONGATION * min(image.size)
    return transforms.CenterCrop([min(image.height, longest), min(image.width, longest)])(image)


def open_classifier(
    state: Mapping[str, Tensor], source: str, overrides: Sequence[str] = (), top: int = TOP
) -> ImageClassifier:
    """The classifier that weights are of, as wide as their shapes say.

    Args:
        state: Weights under the names of `Classifier`.
        source: Where they come from, for messages.
        overrides: Changes to `ClassifierConfig`, of the form `key.path=value`.
        top: How many classes a picture is given.

    Raises:
        UserError: An override is not allowed, or the weights fit no known width.
    """
    config = parse_overrides(ClassifierConfig, overrides, name=source)
    count = len(state["classifier.weight"])
    network = build_classifier(find_width(config.backbone, state, source), count)
    load_state_dict(network, state, source)
    return ImageClassifier(network, config.input, name_classes(count), top)


def open_classifier_checkpoint(
    content: Mapping[str, Any], path: Path, overrides: Sequence[str] = (), top: int = TOP
) -> ImageClassifier:
    """The classifier of a checkpoint, built and fed as its own config says.

    Args:
        content: The checkpoint: `state_dict` and, under `CARD`, config and class names.
        path: Of the checkpoint.
        overrides: Changes to the stored `ClassifierConfig`, of the form `key.path=value`.
        top: How many classes a picture is given.

    Raises:
        UserError: The file does not fit its own config, or an override is not allowed.
    """
    stored, categories = read_card(content, path, classifier=True)
    config = parse_stored(stored, overrides, str(path))
    check_variant(config.model_dump(), stored, path)
    network = build_classifier(config.backbone, len(categories))
    load_state_dict(network, content.get("state_dict", {}), path)
    return ImageClassifier(network, config.input, [each.name for each in categories], top)


def parse_stored(
    stored: Mapping[str, Any], overrides: Sequence[str], source: str
) -> ClassifierConfig:
    """The config that a checkpoint stores, changed by overrides.

    Raises:
        UserError: A key or value is not allowed.
    """
    given = parse_overrides(ClassifierConfig, overrides, name=source)
    values = dict(stored)
    for name, change in given.model_dump(exclude_unset=True).items():
        before = values.get(name)
        sections = isinstance(before, dict) and isinstance(change, dict)
        values[name] = {**before, **change} if sections else change
    return build(ClassifierConfig, Given(source, values))


def find_width(
    backbone: ClassifierBackbone, state: Mapping[str, Tensor], source: str
) -> ClassifierBackbone:
    """The backbone at the width that weights have; at its own where `width_mult` was given.

    Raises:
        UserError: The weights have none of the known widths.
    """
    if "width_mult" in backbone.model_fields_set:
        return backbone
    widths = WIDTHS.get(backbone.name, PUBLISHED_WIDTHS)
    differences: list[list[str]] = []
    for width in widths:
        candidate = backbone.model_copy(update={"width_mult": width})
        with torch.device("meta"):
            network = build_classifier(candidate, len(state["classifier.weight"]))
        differences.append(list_differences(network.state_dict(), state))
        if not differences[-1]:
            return candidate
    nearest = min(differences, key=len)
    raise UserError(
        f"{source}: no {backbone.name} classifier of width {', '.join(map(str, widths))} (nearest "
        f"is {widths[differences.index(nearest)]}: {nearest[0]}); another network is given as "
        "backbone.name, another width as backbone.width_mult"
    )


def name_classes(count: int) -> list[str]:
    """Names by label: ImageNet's, for 1001 classes behind `background`, else numbers.

    Source: torchvision's categories; TensorFlow's releases put a background class before them.
    """
    names = list(MobileNet_V2_Weights.IMAGENET1K_V2.meta["categories"])
    for known in (names, ["background", *names]):
        if count == len(known):
            return known
    return [f"class {label}" for label in range(count)]
