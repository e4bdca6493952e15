from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.backbone.weights import load_backbone
from mnv2_dense.builders import build_network
from mnv2_dense.builders.weights import load_pretrained
from mnv2_dense.config.loader import parse_config
from mnv2_dense.config.schema import Config
from mnv2_dense.errors import UserError
from mnv2_dense.structures import ImageSize
from tests.commands.classifiers import classifier_checkpoint
from tests.importing.detector_networks import ssdlite_graph
from tests.importing.networks import classifier_graph, deeplab_graph
from tests.importing.random_networks import classifier, detector, randomise, segmenter
from tests.importing.released_files import CLASSIFIER, DEEPLAB_HALF, SSDLITE

NARROW = "backbone.width_mult=0.1"
SAME = "backbone.padding=same"
HALF = ("input.mean=[127.5, 127.5, 127.5]", "input.std=[127.5, 127.5, 127.5]")
"""Pixels from -1 to 1."""
RELEASE = (NARROW, SAME, *HALF)
EPSILON_KEY = "backbone.norm_epsilon"


def config_of(*overrides: str, task: str = "detection") -> Config:
    head = ("head.width_mult=0.1",) if task == "detection" else ("head.channels=8",)
    return parse_config({"task": task}, [*head, *overrides])


def load(
    weights: object, *overrides: str, task: str = "detection", dtype: torch.dtype = torch.float32
) -> tuple[Any, str]:
    """A network of random weights and statistics with a backbone of others, and what is said."""
    config = config_of(*overrides, f"backbone.weights={weights}", task=task)
    network = randomise(build_network(config, 3), seed=1).to(dtype)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    message = load_pretrained(network, config)
    assert message is not None
    for name, tensor in network.state_dict().items():
        if not name.startswith("backbone."):
            assert torch.equal(before[name], tensor), name
    return network.eval(), message


def refusal(weights: object, *overrides: str, task: str = "detection") -> str:
    with pytest.raises(UserError) as caught:
        load(weights, *overrides, task=task)
    message = str(caught.value)
    assert "\n" not in message
    assert str(weights) in message
    return message


def save(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def write_graph(message: Any, path: Path) -> Path:
    path.write_bytes(message.SerializeToString())
    return path


def small_variances(network: Any) -> Any:
    """The statistics of a batch, which are so small that the epsilon counts."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0, 0.1 / layer.weight[0].numel() ** 0.5)
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.normal_(layer.bias, 0, 0.5)
    with torch.no_grad():
        network(torch.randn(8, 3, 64, 96))
    return network.eval()


def images() -> Tensor:
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def last_map(backbone: nn.Module) -> Tensor:
    """In float64: so deep a random network makes much of every rounding."""
    with torch.no_grad():
        return backbone.double()(images().double())["last"]


def assert_same_map(backbone: nn.Module, expected: Tensor) -> None:
    assert expected.abs().mean() > 0.1
    torch.testing.assert_close(last_map(backbone), expected, rtol=1e-9, atol=1e-9)


def assert_loaded(backbone: nn.Module, expected: dict[str, Tensor]) -> None:
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_nothing_is_loaded_where_no_weights_are_named() -> None:
    config = config_of(NARROW)
    network = build_network(config, 3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert load_pretrained(network, config) is None
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())


@pytest.mark.parametrize("epsilon", ["0.001", "null", "0.00001"])
def test_torchvisions_weights_compute_the_same_with_the_configs_epsilon(
    tmp_path: Path, epsilon: str
) -> None:
    theirs = small_variances(mobilenet_v2(num_classes=5, width_mult=0.1))
    path = save(theirs.state_dict(), tmp_path / "w.pth")
    network, message = load(path, NARROW, f"{EPSILON_KEY}={epsilon}", dtype=torch.float64)
    with torch.no_grad():
        expected = theirs.double().features(images().double())
    assert_same_map(network.backbone, expected)
    assert message.endswith("; not used of it: classifier")
    if epsilon == "0.001":
        plain = MobileNetV2(("last",), width_mult=0.1, norm_epsilon=0.001).eval()
        load_backbone(plain, str(path))
        assert (last_map(plain) - expected).abs().max() > 0.1


def test_the_message_counts_tensors_and_names_what_is_left_out(tmp_path: Path) -> None:
    path = save(mobilenet_v2(width_mult=0.1).state_dict(), tmp_path / "w.pth")
    network, message = load(path, NARROW)
    held, whole = len(network.backbone.state_dict()), len(network.state_dict())
    assert 0 < held < whole
    assert message == (
        f"backbone.weights={path}: {held} tensors of the backbone loaded, {whole - held} of the "
        "head random; not used of it: classifier"
    )
    taps = ("head.taps=[block_10, block_15]", "anchors.first_level_scales=null")
    network, message = load(path, NARROW, taps[0])
    assert message.endswith("not used of it: blocks.16, classifier, last")


def test_our_own_classifier_gives_its_backbone(tmp_path: Path) -> None:
    content = classifier_checkpoint()
    path = save(content, tmp_path / "c.ckpt")
    state = content["state_dict"]
    expected = {name.removeprefix("backbone."): tensor for name, tensor in state.items()}
    network, message = load(path, *RELEASE)
    assert_loaded(network.backbone, expected)
    # Epsilon is the same: no weight has changed. The classifier's layer is no part of a backbone.
    assert "not used" not in message
    for task in ("detection", "segmentation"):
        assert "backbone loaded" in load(path, *RELEASE, task=task)[1]


@pytest.mark.parametrize("stored", [0.1, None])
def test_a_checkpoints_epsilon_is_carried_over(tmp_path: Path, stored: float | None) -> None:
    own = {"width_mult": 0.1, "padding": "same", "norm_epsilon": stored}
    content = classifier_checkpoint(backbone=own)
    network = small_variances(classifier(4, **own).train())
    content["state_dict"] = network.state_dict()
    path = save(content, tmp_path / "c.ckpt")
    ours, _ = load(path, *RELEASE, f"{EPSILON_KEY}=0.00001", dtype=torch.float64)
    assert_same_map(ours.backbone, last_map(network.backbone))


def test_a_checkpoint_of_a_run_gives_its_backbone(trained_run: Path) -> None:
    path = trained_run / "checkpoints" / "last.ckpt"
    stored = torch.load(path, weights_only=True)
    network, _ = load(path, "backbone.width_mult=0.35")
    state = {
        name.removeprefix("network.backbone."): tensor
        for name, tensor in stored["state_dict"].items()
    }
    assert_loaded(network.backbone, state)


def frozen_graph(kind: str, path: Path) -> tuple[Any, Path]:
    """A random network of one of the releases' kinds, and its graph."""
    width = {"width_mult": 0.1, "channel_divisor": 8}
    if kind == "classifier":
        network: Any = classifier(11, **width)
        message = classifier_graph(network, ImageSize(64, 64))
    elif kind == "detector":
        network = detector(90, width, input={"height": 64, "width": 64})
        message = ssdlite_graph(network, ImageSize(64, 64))
    else:
        network = segmenter(21, width)
        message = deeplab_graph(network, ImageSize(65, 65))
    return network, write_graph(message, path)


@pytest.mark.parametrize("task", ["detection", "segmentation"])
@pytest.mark.parametrize("kind", ["classifier", "detector", "segmenter"])
def test_a_frozen_graph_gives_its_backbone(kind: str, task: str, tmp_path: Path) -> None:
    source, path = frozen_graph(kind, tmp_path / "frozen.pb")
    taps = ["head.taps=[block_10, block_15]"] if kind == "segmenter" and task == "detection" else []
    network, message = load(path, *RELEASE, *taps, task=task)
    assert f"{len(network.backbone.state_dict())} tensors of the backbone loaded" in message
    assert_loaded(network.backbone, source.backbone.state_dict())


def test_a_graph_under_another_epsilon_computes_the_same(tmp_path: Path) -> None:
    source = small_variances(classifier(11, width_mult=0.1).train())
    path = write_graph(classifier_graph(source, ImageSize(64, 64)), tmp_path / "frozen.pb")
    network, _ = load(path, *RELEASE, f"{EPSILON_KEY}=0.00001", dtype=torch.float64)
    assert_same_map(network.backbone, last_map(source.backbone))


# What is refused


def test_another_padding_is_refused(tmp_path: Path) -> None:
    _, graph = frozen_graph("classifier", tmp_path / "frozen.pb")
    own = save(classifier_checkpoint(), tmp_path / "c.ckpt")
    for path in (graph, own):
        message = refusal(path, NARROW, *HALF)
        assert "was trained with backbone.padding=same" in message
        assert message.endswith(
            "(not symmetric), and would compute something else; set this key so"
        )
    theirs = save(mobilenet_v2(width_mult=0.1).state_dict(), tmp_path / "w.pth")
    assert "backbone.padding=symmetric (not same)" in refusal(theirs, NARROW, SAME)


@pytest.mark.parametrize(
    "change", ["linear_bottleneck=false", "shortcut=none", "first_shortcut=false"]
)
def test_another_variant_is_refused(tmp_path: Path, change: str) -> None:
    path = save(classifier_checkpoint(), tmp_path / "c.ckpt")
    message = refusal(path, *RELEASE, f"backbone.{change}")
    plain = {"shortcut=none": "shortcut=bottleneck"}.get(change, change.replace("false", "true"))
    assert f"was trained with backbone.{plain} (not {change.partition('=')[2]})" in message


@pytest.mark.parametrize("source", ["torchvision", "graph", "checkpoint"])
@pytest.mark.parametrize(
    "change", ["linear_bottleneck=false", "shortcut=none", "first_shortcut=false"]
)
def test_a_variant_that_the_source_does_not_state_is_the_papers(
    tmp_path: Path, source: str, change: str
) -> None:
    keys = (NARROW,) if source == "torchvision" else RELEASE
    if source == "torchvision":
        path = save(mobilenet_v2(width_mult=0.1).state_dict(), tmp_path / "w.pth")
    elif source == "graph":
        _, path = frozen_graph("classifier", tmp_path / "frozen.pb")
    else:
        content = classifier_checkpoint()
        for key in ("linear_bottleneck", "shortcut", "first_shortcut"):
            content["mnv2_dense"]["config"]["backbone"].pop(key, None)
        path = save(content, tmp_path / "c.ckpt")
    assert f"backbone.{change.partition('=')[0]}=" in refusal(path, *keys, f"backbone.{change}")
    assert "backbone loaded" in load(path, *keys)[1]


def test_a_bare_state_dict_says_nothing_of_its_variant(tmp_path: Path) -> None:
    path = save(MobileNetV2(("last",), width_mult=0.1).state_dict(), tmp_path / "bare.pth")
    assert "backbone loaded" in load(path, *RELEASE, "backbone.shortcut=none")[1]


def test_all_that_differs_is_in_one_message(tmp_path: Path) -> None:
    _, graph = frozen_graph("classifier", tmp_path / "frozen.pb")
    message = refusal(graph, NARROW, "backbone.shortcut=none")
    for words in ("padding=same (", "shortcut=bottleneck (", "input.mean=", "input.std="):
        assert words in message
    assert message.endswith("; set these keys so")
    message = refusal(graph, *HALF)
    assert "padding=same (not symmetric)" in message
    assert message.endswith("; set this key so; they fit backbone.width_mult=0.1")


def test_another_normalisation_is_refused(tmp_path: Path) -> None:
    _, graph = frozen_graph("classifier", tmp_path / "frozen.pb")
    own = save(classifier_checkpoint(), tmp_path / "c.ckpt")
    for path in (graph, own):
        message = refusal(path, NARROW, SAME)
        assert "input.mean=[127.5, 127.5, 127.5] (not [123.675, 116.28, 103.53]), " in message
        assert "input.std=[127.5, 127.5, 127.5] (not [58.395, 57.12, 57.375]), and" in message
    theirs = save(mobilenet_v2(width_mult=0.1).state_dict(), tmp_path / "w.pth")
    assert "input.mean=[123.675, 116.28, 103.53]" in refusal(theirs, NARROW, *HALF)
    assert "set this key so" in refusal(own, *RELEASE, "input.std=[127.5, 127.5, 64]")


def test_what_files_round_away_is_the_same_normalisation(tmp_path: Path) -> None:
    path = save(classifier_checkpoint(), tmp_path / "c.ckpt")
    rounded = ("input.mean=[128, 128, 128]", "input.std=[128, 127, 128]")
    assert "loaded" in load(path, *RELEASE, *rounded)[1]


@pytest.mark.parametrize("kind", ["graph", "checkpoint"])
def test_another_width_is_refused_with_the_keys_that_fit(tmp_path: Path, kind: str) -> None:
    if kind == "graph":
        _, path = frozen_graph("classifier", tmp_path / "frozen.pb")
    else:
        path = save(classifier_checkpoint(), tmp_path / "c.ckpt")
    message = refusal(path, *RELEASE, "backbone.width_mult=0.75")
    assert "stem.0.weight is 8x3x3x3 in the file and 24x3x3x3 in the network" in message
    assert message.endswith("; they fit backbone.width_mult=0.1")


def test_another_width_without_a_config_is_refused_by_its_shapes(tmp_path: Path) -> None:
    path = save(mobilenet_v2(width_mult=0.1).state_dict(), tmp_path / "w.pth")
    message = refusal(path, "backbone.width_mult=0.75")
    assert "stem.0.weight is 8x3x3x3 in the file and 24x3x3x3 in the network" in message
    assert "they fit" not in message


def test_a_backbone_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = save(classifier_checkpoint(), tmp_path / "c.ckpt")
    message = refusal(path, "backbone.name=mobilenet_v1", SAME, *HALF)
    assert "they fit backbone.name=mobilenet_v2, backbone.width_mult=0.1" in message


@pytest.mark.parametrize(
    ("section", "keys", "words"),
    [
        ("input", {"mean": [1, 2]}, "input.mean cannot be [1, 2]"),
        ("input", {"std": [1, 2, 0]}, "input.std cannot be [1, 2, 0]"),
        ("input", {"mean": "grey"}, 'input.mean cannot be "grey"'),
        ("backbone", {"norm_epsilon": "small"}, 'backbone.norm_epsilon cannot be "small"'),
        ("backbone", {"padding": ["same"]}, 'backbone.padding cannot be ["same"]'),
    ],
)
def test_a_checkpoint_that_says_nonsense(
    tmp_path: Path, section: str, keys: dict[str, Any], words: str
) -> None:
    content = classifier_checkpoint()
    content["mnv2_dense"]["config"][section] |= keys
    assert words in refusal(save(content, tmp_path / "c.ckpt"), *RELEASE)


@pytest.mark.parametrize("name", ["w.pb", "w.tflite", "w.pth", "w.ckpt", "w.tar.gz", "w.zip", "w"])
@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_a_file_that_holds_no_weights_is_one_line(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert "no such" in refusal(tmp_path / name) or content is not None


def test_a_truncated_graph_is_one_line(tmp_path: Path) -> None:
    _, path = frozen_graph("classifier", tmp_path / "frozen.pb")
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.99):
        path.write_bytes(content[: int(len(content) * share)])
        assert "frozen.pb" in refusal(path, *RELEASE)


def test_published_weights_have_torchvisions_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(*_: object, **__: object) -> dict[str, Tensor]:
        return mobilenet_v2().state_dict()

    monkeypatch.setattr(MobileNet_V2_Weights, "get_state_dict", get)
    assert "backbone.padding=symmetric (not same)" in refusal("imagenet", SAME)
    assert "set these keys so" in refusal("imagenet", *HALF)
    assert load("imagenet")[1].startswith("backbone.weights=imagenet: ")


# Released files


OBJECT_DETECTION = ("width_mult=0.5", "min_channels=16", "last_channels=640")


def test_the_released_ssdlite_begins_a_detector(shared: Path) -> None:
    path = shared / "data" / "weights" / SSDLITE
    keys = [f"backbone.{key}" for key in (*OBJECT_DETECTION, "first_shortcut=false")]
    message = refusal(path, SAME, *HALF, *keys[:-1])
    assert "was trained with backbone.first_shortcut=false (not true)" in message
    message = refusal(path, SAME, *HALF, *keys[::3])
    assert f"; they fit {keys[1]}, {keys[2]}" in message
    network, message = load(path, SAME, *HALF, *keys)
    assert f"{len(network.backbone.state_dict())} tensors of the backbone loaded" in message


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_the_released_classifier_begins_either_task(shared: Path, task: str) -> None:
    path = shared / "data" / "weights" / CLASSIFIER
    network, message = load(path, SAME, *HALF, task=task)
    assert network.backbone.stem[0].weight.abs().sum() > 1
    assert message.endswith("last") is (task == "segmentation")


def test_the_released_narrow_segmenter_begins_a_segmenter(shared: Path) -> None:
    path = shared / "data" / "weights" / DEEPLAB_HALF
    keys = ["backbone.width_mult=0.5", "backbone.channel_divisor=1"]
    message = refusal(path, SAME, *HALF, keys[0], task="segmentation")
    assert keys[1] in message
    assert "loaded" in load(path, SAME, *HALF, *keys, task="segmentation")[1]
