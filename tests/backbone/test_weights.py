import pickle
import urllib.error
from pathlib import Path
from typing import Any, NoReturn

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from mnv2_dense.backbone.backbone import Backbone
from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v1 import MobileNetV1
from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.backbone.timm_features import TimmFeatures
from mnv2_dense.backbone.weights import (
    change_epsilon,
    classifier_state,
    from_torchvision,
    load_backbone,
    load_layers,
)
from mnv2_dense.errors import UserError

NARROW = 0.1


def narrow(*taps: str) -> MobileNetV2:
    return MobileNetV2(taps or ("last",), width_mult=NARROW)


def torchvision_state() -> dict[str, Tensor]:
    return mobilenet_v2(width_mult=NARROW).state_dict()


def save(content: Any, path: Path) -> str:
    torch.save(content, path)
    return str(path)


def refusal(backbone: Backbone, weights: str) -> str:
    """The message, after checking that it is one line and nothing was loaded."""
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_backbone(backbone, weights)
    after = backbone.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_holds(backbone: nn.Module, expected: dict[str, Tensor]) -> None:
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_every_torchvision_name_has_one_of_ours() -> None:
    state = torchvision_state()
    renamed = from_torchvision(state)
    assert len(renamed) == len(state)
    assert {name for name in renamed if not name.startswith("classifier.")} == set(
        narrow().state_dict()
    )


def test_a_classifier_is_known_by_its_names() -> None:
    theirs = torchvision_state()
    found = classifier_state(theirs)
    assert found is not None
    Classifier(narrow()).load_state_dict(dict(found))
    assert torch.equal(found["classifier.weight"], theirs["classifier.1.weight"])
    ours = Classifier(narrow(), 3).state_dict()
    assert classifier_state(ours) == ours


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"classifier.weight": torch.ones(3, 4)},
        {"backbone.stem.0.weight": torch.ones(1)},
        {"backbone.stem.0.weight": torch.ones(1), "classifier.weight": torch.ones(3, 4, 1, 1)},
        {"backbone.stem.0.weight": torch.ones(1), "classifier.weight": torch.ones(0, 4)},
    ],
)
def test_other_weights_are_no_classifier(state: dict[str, Tensor]) -> None:
    assert classifier_state(state) is None


def test_torchvision_file_is_loaded(tmp_path: Path) -> None:
    state = torchvision_state()
    backbone = narrow()
    load_backbone(backbone, save(state, tmp_path / "weights.pth"))
    assert_holds(backbone, from_torchvision(state))


def test_own_state_dict_is_loaded(tmp_path: Path) -> None:
    source, target = narrow(), narrow()
    load_backbone(target, save(source.state_dict(), tmp_path / "weights.pth"))
    assert_holds(target, source.state_dict())


def test_checkpoint_of_a_run_is_loaded(tmp_path: Path) -> None:
    source, target = narrow(), narrow()
    state = {f"network.backbone.{k}": v for k, v in source.state_dict().items()}
    state["network.head.extras.0.0.0.weight"] = torch.zeros(3)
    load_backbone(target, save({"state_dict": state, "epoch": 3}, tmp_path / "last.ckpt"))
    assert_holds(target, source.state_dict())


def test_a_classifier_of_ours_gives_its_backbone(tmp_path: Path) -> None:
    source, target = Classifier(narrow(), 3), narrow()
    state = source.state_dict()
    for content in (state, {"state_dict": state, "epoch": 3}):
        load_backbone(target, save(content, tmp_path / "c.ckpt"))
        assert_holds(target, source.backbone.state_dict())


def test_layers_that_a_backbone_has_not_are_returned(tmp_path: Path) -> None:
    path = save(torchvision_state(), tmp_path / "w.pth")
    assert load_backbone(narrow(), path) == ["classifier.bias", "classifier.weight"]
    spare = load_backbone(narrow("block_15"), path)
    assert {name.split(".")[0] for name in spare} == {"blocks", "classifier", "last"}
    assert {name for name in spare if name.startswith("blocks.")} == {
        name for name in narrow().state_dict() if name.startswith("blocks.16.")
    }
    assert load_layers(narrow(), narrow().state_dict(), "here") == []


def test_layers_of_no_known_name_are_refused() -> None:
    state = {**narrow().state_dict(), "blocks.17.x": torch.ones(1), "neck.weight": torch.ones(1)}
    with pytest.raises(UserError, match=r"^here: weights of another.*neck.weight is not in the"):
        load_layers(narrow(), state, "here")


def test_another_epsilon_computes_what_the_trained_one_did() -> None:
    torch.manual_seed(0)
    trained, other = (nn.BatchNorm2d(4, eps=epsilon).double().eval() for epsilon in (1e-5, 1e-3))
    for tensor in trained.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(1e-6, 1e-2)
    other.load_state_dict(trained.state_dict())
    images = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    assert not torch.allclose(trained(images), other(images), rtol=1e-2)
    change_epsilon(nn.Sequential(other), 1e-5)
    torch.testing.assert_close(trained(images), other(images), rtol=1e-12, atol=1e-12)


def test_the_same_epsilon_changes_nothing() -> None:
    norm = nn.BatchNorm2d(4, eps=1e-5)
    nn.init.uniform_(norm.weight)
    before = norm.weight.clone()
    change_epsilon(nn.Sequential(norm, nn.BatchNorm2d(2, track_running_stats=False)), norm.eps)
    assert torch.equal(norm.weight, before)


def test_a_shorter_backbone_takes_what_it_has(tmp_path: Path) -> None:
    state = torchvision_state()
    backbone = narrow("block_5")
    load_backbone(backbone, save(state, tmp_path / "weights.pth"))
    assert_holds(backbone, from_torchvision(state))


def test_a_longer_backbone_names_what_it_misses(tmp_path: Path) -> None:
    message = refusal(narrow(), save(narrow("block_15").state_dict(), tmp_path / "w.pth"))
    assert "blocks.16.expand.0.weight is not in the file" in message


def test_another_width_names_file_and_first_shapes(tmp_path: Path) -> None:
    path = save(mobilenet_v2(width_mult=0.35).state_dict(), tmp_path / "wide.pth")
    message = refusal(narrow(), path)
    assert path in message
    assert "stem.0.weight is 16x3x3x3 in the file and 8x3x3x3 in the network" in message
    assert "more" in message


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert "nothing.pth: no such" in refusal(narrow(), str(tmp_path / "nothing.pth"))
    assert "no checkpoint file" in refusal(narrow(), str(tmp_path))


def test_other_content_is_refused(tmp_path: Path) -> None:
    for content in ([1, 2], {"a": 1}, {3: torch.ones(1)}, {"state_dict": [torch.ones(1)]}):
        assert "w.pth" in refusal(narrow(), save(content, tmp_path / "w.pth"))


def test_tensors_of_another_kind_of_value_are_refused(tmp_path: Path) -> None:
    state: dict[str, Any] = {**narrow().state_dict(), "stem.0.weight": "hello"}
    assert "stem.0.weight is str in the file" in refusal(narrow(), save(state, tmp_path / "w.pth"))


class Hostile:
    """Unpickled, it would create a file."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.victim,)


def test_code_in_a_file_never_runs(tmp_path: Path) -> None:
    victim = tmp_path / "ran"
    pickle.loads(pickle.dumps(Hostile(victim)))
    assert victim.exists()  # the attack is real
    victim.unlink()
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps({"stem.0.weight": Hostile(victim)}))
    for path in (save({"a": Hostile(victim)}, tmp_path / "zipped.pth"), str(plain)):
        assert "refused" in refusal(narrow(), path)
    assert not victim.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_file_is_named(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "weights.pth"
    torch.save(narrow().state_dict(), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in (0, 1, 10, 100, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:length])
        assert "weights.pth" in refusal(narrow(), str(path))


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError("no route to host"),
        TimeoutError("timed out"),
        RuntimeError('invalid hash value (expected "7ebf99e0", got "0")'),
        pickle.UnpicklingError("Weights only load failed\nIn PyTorch 2.6 we changed"),
    ],
)
def test_failed_download_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise failure

    monkeypatch.setattr(MobileNet_V2_Weights, "get_state_dict", fail)
    message = refusal(MobileNetV2(("block_0",)), "imagenet")
    assert "https://" in message
    assert "backbone.weights=null" in message


def test_download_is_hashed_and_may_hold_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    state = mobilenet_v2().state_dict()

    def download(_: object, **options: Any) -> dict[str, Tensor]:
        asked.update(options)
        return state

    monkeypatch.setattr(MobileNet_V2_Weights, "get_state_dict", download)
    backbone = MobileNetV2(("block_0",))
    load_backbone(backbone, "imagenet")
    assert_holds(backbone, from_torchvision(state))
    assert asked["check_hash"] is True
    assert asked["weights_only"] is True


def test_imagenet_weights_of_other_networks_are_refused() -> None:
    message = refusal(MobileNetV1(("Conv2d_1",)), "imagenet")
    assert "for mobilenet_v2 and timm's models, not for a MobileNetV1" in message
    assert "give the path of a file, or set backbone.weights=null" in message


def test_a_file_of_another_network_of_ours_is_loaded(tmp_path: Path) -> None:
    source, target = MobileNetV1(width_mult=NARROW), MobileNetV1(("Conv2d_5",), width_mult=NARROW)
    load_backbone(target, save(source.state_dict(), tmp_path / "w.pth"))
    assert_holds(target, source.state_dict())


TIMM_TAPS = ("feature_1", "feature_3")


@pytest.mark.parametrize(
    "name", ["test_efficientnet", "test_byobnet", "test_resnet", "test_convnext", "test_mambaout"]
)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_timms_classifier_is_loaded(name: str, suffix: str, tmp_path: Path) -> None:
    whole: Any = timm.create_model(name).eval()
    for tensor in whole.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    path = str(tmp_path / f"w.{suffix}")
    state = whole.state_dict()
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    backbone = TimmFeatures(name, TIMM_TAPS).eval()
    load_backbone(backbone, path)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        ours = backbone(images)
        theirs = whole.forward_intermediates(images, indices=[1, 3], intermediates_only=True)
    for tap, expected in zip(TIMM_TAPS, theirs, strict=True):
        torch.testing.assert_close(ours[tap], expected)


def test_a_timm_backbones_own_states_are_loaded(tmp_path: Path) -> None:
    source = TimmFeatures("test_byobnet", ("feature_4",))
    state = source.state_dict()
    run = {f"network.backbone.{name}": tensor for name, tensor in state.items()}
    for content in (state, {"state_dict": run}):
        target = TimmFeatures("test_byobnet", ("feature_2",))
        load_backbone(target, save(content, tmp_path / "w.pth"))
        assert_holds(target, state)


def test_a_file_of_another_timm_model_is_refused(tmp_path: Path) -> None:
    path = save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "w.pth")
    message = refusal(TimmFeatures("test_resnet", ("feature_4",)), path)
    assert "model.conv1.0.weight is not in the file" in message
    damaged = tmp_path / "w.safetensors"
    damaged.write_bytes(b"12345")
    assert "truncated" in refusal(TimmFeatures("test_resnet", ("feature_0",)), str(damaged))
    damaged.unlink()
    assert "no such" in refusal(TimmFeatures("test_resnet", ("feature_0",)), str(damaged))


def test_timms_published_weights_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model
    asked: list[dict[str, Any]] = []

    def download(name: str, *, pretrained: bool, **options: Any) -> nn.Module:
        asked.append({"name": name, "pretrained": pretrained, **options})
        model = create(name, **options)
        return ones(model) if pretrained else model

    monkeypatch.setattr(timm, "create_model", download)
    backbone = TimmFeatures("test_resnet.r160_in1k", TIMM_TAPS, output_stride=8)
    load_backbone(backbone, "imagenet")
    assert all(parameter.eq(1).all() for parameter in backbone.parameters())
    assert [each["pretrained"] for each in asked[-2:]] == [False, True]
    assert asked[-1] == {**asked[-2], "pretrained": True}


def ones(model: nn.Module) -> nn.Module:
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    return model


@pytest.mark.parametrize(
    "failure", [OSError("no route\nto host"), RuntimeError("No pretrained weights exist")]
)
def test_weights_that_timm_cannot_get(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    backbone = TimmFeatures("test_resnet", ("feature_0",))

    def fail(*_: object, **__: object) -> NoReturn:
        raise failure

    monkeypatch.setattr(timm, "create_model", fail)
    message = refusal(backbone, "imagenet")
    assert "test_resnet" in message
    assert str(failure).partition("\n")[0] in message
    assert "give the file's path, or set backbone.weights=null" in message
