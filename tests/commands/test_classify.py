import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from mnv2_dense.backbone.blocks import SamePadConv2d
from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v1 import MobileNetV1
from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.backbone.weights import classifier_state
from mnv2_dense.builders.backbones import build_classifier
from mnv2_dense.commands.classify import (
    PUBLISHED_WIDTHS,
    ImageClassifier,
    build_transform,
    find_width,
    name_classes,
    open_classifier,
    open_classifier_checkpoint,
    parse_stored,
)
from mnv2_dense.commands.prediction_kinds import Source
from mnv2_dense.config.classification import (
    ClassifierBackbone,
    ClassifierConfig,
    ClassifierInput,
)
from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from tests.commands.classifiers import CLASS_NAMES, classifier_checkpoint, reference

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


# Checkpoints that hold their own config

PATH = Path("c.ckpt")


def test_a_checkpoint_is_built_and_fed_as_its_own_config_says(tmp_path: Path) -> None:
    content = classifier_checkpoint()
    classifier = open_classifier_checkpoint(content, PATH, top=3)
    norms = [each for each in classifier.network.modules() if isinstance(each, nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} == {0.001}
    assert any(isinstance(each, SamePadConv2d) for each in classifier.network.modules())
    stored = content["state_dict"]
    loaded = classifier.network.state_dict()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in loaded.items())
    path = picture(tmp_path / "a.png")
    with Image.open(path) as image:
        shown = classifier.transform(image)
        expected = build_transform(
            ClassifierInput(height=64, width=96, mean=(127.5,) * 3, std=(127.5,) * 3)
        )(image)
    assert torch.equal(shown, expected)
    found = classes_of(classifier, path)
    scores = classifier.network(shown[None])[0].softmax(0)
    assert [each["label"] for each in found] == scores.topk(3).indices.tolist()
    assert [each["name"] for each in found] == [CLASS_NAMES[each["label"]] for each in found]


def test_a_checkpoints_config_can_be_changed() -> None:
    """Key by key: what is not named stays as it is stored."""
    content = classifier_checkpoint()
    before = copy.deepcopy(content["mnv2_dense"])
    config = parse_stored(content["mnv2_dense"]["config"], ["input.height=128"], "c.ckpt")
    assert (config.input.height, config.input.width, config.input.std) == (128, 96, (127.5,) * 3)
    assert (config.backbone.width_mult, config.backbone.norm_epsilon) == (0.1, 0.001)
    plain = open_classifier_checkpoint(content, PATH)
    changed = open_classifier_checkpoint(content, PATH, ["backbone.norm_epsilon=0.5"])
    images = torch.randn(1, 3, SIZE, SIZE)
    assert not torch.allclose(plain.network(images), changed.network(images))
    assert content["mnv2_dense"] == before
    with pytest.raises(UserError, match=r"was trained with backbone.padding=same \(not symmetric"):
        open_classifier_checkpoint(content, PATH, ["backbone.padding=symmetric"])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"input": 5}, "input is a section, not 5"),
        ({"input": {"height": "tall"}}, 'input.height cannot be "tall"'),
        ({"colour": 1}, "colour is no known key"),
        ({"backbone": {"output_stride": 16}}, "output_stride is 32 in classifiers, not 16"),
        ({"backbone": {"weights": "a.pth"}}, "weights is not for classifiers"),
        ({"backbone": {"name": "timm/a"}}, "the classifiers of timm's models are not built here"),
        ({"backbone": {"width_mult": 0.35}}, "c.ckpt: weights of another architecture"),
    ],
)
def test_a_checkpoint_with_a_config_that_does_not_fit(config: dict[str, Any], words: str) -> None:
    content = classifier_checkpoint()
    content["mnv2_dense"]["config"] |= config
    with pytest.raises(UserError) as caught:
        open_classifier_checkpoint(content, PATH)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_with_other_classes_than_its_weights() -> None:
    content = classifier_checkpoint()
    content["mnv2_dense"]["categories"].pop()
    with pytest.raises(UserError, match=r"classifier\.weight is 4x1280 in the file and 3x1280 in"):
        open_classifier_checkpoint(content, PATH)
    del content["mnv2_dense"]["categories"]
    with pytest.raises(UserError, match="not a checkpoint of mnv2_dense"):
        open_classifier_checkpoint(content, PATH)


@pytest.mark.parametrize("change", ["shortcut=none", "linear_bottleneck=false"])
def test_another_variant_of_a_classifier_is_refused_though_its_weights_fit(change: str) -> None:
    key, _, value = change.partition("=")
    words = f"c.ckpt: was trained with backbone.{key}="
    with pytest.raises(UserError, match=words):
        open_classifier_checkpoint(classifier_checkpoint(), PATH, [f"backbone.{change}"])
    own = {"width_mult": 0.1, key: False if value == "false" else value}
    stored = classifier_checkpoint(backbone=own)
    assert len(open_classifier_checkpoint(stored, PATH).names) == 4
    plain = {"linear_bottleneck": "true", "shortcut": "bottleneck"}[key]
    with pytest.raises(UserError, match=words):
        open_classifier_checkpoint(stored, PATH, [f"backbone.{key}={plain}"])


def test_the_releases_classifier_of_1001_classes(tmp_path: Path) -> None:
    names = name_classes(1001)
    config = ClassifierConfig.model_validate({"backbone": {"width_mult": 0.35}})
    network = build_classifier(config.backbone, 1001)
    card = {"config": config.model_dump(mode="json"), "categories": list(enumerate(names))}
    content = {"state_dict": network.state_dict(), "mnv2_dense": card}
    torch.save(content, tmp_path / "c.ckpt")
    opened = open_classifier_checkpoint(read_checkpoint(tmp_path / "c.ckpt"), PATH)
    assert opened.names[:2] == ["background", "tench"]
    assert len(opened.names) == 1001
