from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v1 import MobileNetV1
from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.backbone.weights import classifier_state
from mnv2_dense.commands.classify import (
    PUBLISHED_WIDTHS,
    ImageClassifier,
    build_transform,
    find_width,
    name_classes,
    open_classifier,
)
from mnv2_dense.commands.column import Source
from mnv2_dense.config.classification import ClassifierBackbone, ClassifierInput
from mnv2_dense.errors import UserError
from tests.commands.classifiers import reference

SIZE = 64
LAST = MobileNetV1.default_taps.classification
SMALL = (f"input.height={SIZE}", f"input.width={SIZE}")


def state_of(network: nn.Module) -> Mapping[str, Tensor]:
    state = classifier_state(network.state_dict())
    assert state is not None
    return state


def picture(path: Path, width: int = 300, height: int = 260) -> Path:
    coarse = np.random.default_rng(0).integers(0, 255, (9, 11, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path)
    return path


def classes_of(classifier: ImageClassifier, path: Path) -> list[dict[str, Any]]:
    (record,) = classifier.predict(Source(path, 1, path.stem), path.parent).records
    assert record["file_name"] == str(path)
    return record["classes"]


@pytest.mark.parametrize(("width", "height"), [(300, 260), (120, 333), (224, 224)])
def test_torchvision_names_the_same_five(tmp_path: Path, width: int, height: int) -> None:
    network, path = reference(), picture(tmp_path / "a.png", width, height)
    published = MobileNet_V2_Weights.IMAGENET1K_V2
    with torch.inference_mode(), Image.open(path) as image:
        expected = network(published.transforms()(image).unsqueeze(0))[0].softmax(0).topk(5)
    assert expected.values[0] > 2 * expected.values[4]  # an even spread would prove little
    found = classes_of(open_classifier(state_of(network), "weights.pth"), path)
    assert [each["label"] for each in found] == expected.indices.tolist()
    scores = torch.tensor([each["score"] for each in found])
    torch.testing.assert_close(scores, expected.values, rtol=1e-5, atol=0)
    names = published.meta["categories"]
    assert [each["name"] for each in found] == [names[i] for i in expected.indices]


def test_the_input_is_torchvisions(tmp_path: Path) -> None:
    with Image.open(picture(tmp_path / "a.png", 500, 333)) as image:
        expected = MobileNet_V2_Weights.IMAGENET1K_V2.transforms()(image)
        found = build_transform(ClassifierInput())(image)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("side", [96, 128, 160, 192])
def test_other_inputs_show_the_same_part_of_the_picture(side: int, tmp_path: Path) -> None:
    with Image.open(picture(tmp_path / "a.png", 300, 200)) as image:
        full = build_transform(ClassifierInput())(image)
        small = build_transform(ClassifierInput(height=side, width=side))(image)
    shrunk = nn.functional.interpolate(full[None], (side, side), mode="bilinear", antialias=True)
    # Half a pixel of rounding; the picture itself has a deviation of 1, and 10 % more of it 0.2.
    assert (small - shrunk[0]).abs().mean() < 0.08


def test_an_oblong_input_is_filled(tmp_path: Path) -> None:
    with Image.new("RGB", (80, 200), "white") as image:
        found = build_transform(ClassifierInput(height=64, width=96))(image)
    assert found.shape == (3, 64, 96)
    assert found.min() > 2  # nowhere black, which pads


@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1)])
def test_a_thread_of_a_picture_does_not_fill_the_memory(size: tuple[int, int]) -> None:
    with Image.new("RGB", size, "white") as image:
        shortened = build_transform(ClassifierInput()).transforms[0](image)
        assert max(shortened.size) == 20
        assert build_transform(ClassifierInput())(image).shape == (3, 224, 224)


@pytest.mark.parametrize("width_mult", PUBLISHED_WIDTHS)
def test_the_width_is_read_off_the_shapes(width_mult: float) -> None:
    with torch.device("meta"):
        state = state_of(mobilenet_v2(num_classes=7, width_mult=width_mult))
    assert find_width(ClassifierBackbone(), state, "weights.pth").width_mult == width_mult


def test_own_classifiers_of_other_widths_need_a_word(tmp_path: Path) -> None:
    state = state_of(Classifier(MobileNetV2(("last",), width_mult=0.1), 3))
    with pytest.raises(UserError) as caught:
        open_classifier(state, "weights.pth", SMALL)
    message = str(caught.value)
    assert message.startswith("weights.pth: no mobilenet_v2 classifier of width 0.35, 0.5, 0.75, ")
    assert "1.0, 1.3, 1.4 " in message
    assert message.endswith("another width as backbone.width_mult")
    assert "\n" not in message
    classifier = open_classifier(state, "weights.pth", [*SMALL, "backbone.width_mult=0.1"])
    found = classes_of(classifier, picture(tmp_path / "a.png"))
    assert {each["name"] for each in found} == {"class 0", "class 1", "class 2"}
    assert sum(each["score"] for each in found) == pytest.approx(1)


def test_a_given_width_must_fit() -> None:
    state = state_of(Classifier(MobileNetV2(("last",), width_mult=0.1), 3))
    with pytest.raises(UserError, match=r"weights\.pth: weights of another architecture"):
        open_classifier(state, "weights.pth", ["backbone.width_mult=0.35"])


def test_another_backbone_can_be_named(tmp_path: Path) -> None:
    state = state_of(Classifier(MobileNetV1((LAST,), width_mult=0.5), 3))
    classifier = open_classifier(state, "weights.pth", [*SMALL, "backbone.name=mobilenet_v1"])
    assert len(classes_of(classifier, picture(tmp_path / "a.png"))) == 3


def test_norms_and_padding_are_obeyed() -> None:
    state = state_of(reference(3, 0.35))
    overrides = ["backbone.norm_epsilon=0.001", "backbone.padding=same"]
    plain, changed = (open_classifier(state, "w", each).network for each in ((), overrides))
    images = torch.randn(1, 3, SIZE, SIZE)
    with torch.no_grad():
        assert not torch.allclose(plain(images), changed(images))
    assert {layer.eps for layer in changed.modules() if isinstance(layer, nn.BatchNorm2d)} == {
        0.001
    }


def test_names_by_the_number_of_classes() -> None:
    assert name_classes(1000)[:2] == ["tench", "goldfish"]
    assert name_classes(1000)[-1] == "toilet tissue"
    assert name_classes(1001)[:2] == ["background", "tench"]
    assert len(name_classes(1001)) == 1001
    assert name_classes(2) == ["class 0", "class 1"]
