import pytest
import torch
from torchvision.models import mobilenet_v2

from mnv2_dense.errors import UserError
from mnv2_dense.importing.states import import_state
from tests.importing.random_networks import randomise, rebuild


@pytest.mark.parametrize("width", [1.0, 0.35, 1.4])
def test_torchvisions_weights_compute_the_same(width: float) -> None:
    theirs = randomise(mobilenet_v2(num_classes=7, width_mult=width))
    imported = import_state(theirs.state_dict(), "here.pth")
    assert imported.task == "classification"
    assert imported.settings["backbone"]["width_mult"] == width
    ours, images = rebuild(imported), torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))
    assert {*imported.used} == {*theirs.state_dict()}
    assert imported.not_needed == {}


def test_other_weights_are_refused() -> None:
    one = torch.ones(1)
    states: list[dict[str, object]] = [{}, {"weight": one}, {"features.0.0.weight": one}]
    for state in states:
        with pytest.raises(UserError, match=r"^here.pth: "):
            import_state(state, "here.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_named(value: float) -> None:
    state = mobilenet_v2(width_mult=0.35).state_dict()
    state["features.3.conv.1.1.running_var"][2] = value
    with pytest.raises(UserError, match=r"^here.pth: features.3.conv.1.1.running_var holds"):
        import_state(state, "here.pth")


def test_counters_that_old_files_lack_are_filled() -> None:
    state = mobilenet_v2(width_mult=0.35).state_dict()
    kept = {name: each for name, each in state.items() if "num_batches_tracked" not in name}
    imported = import_state(kept, "here.pth")
    ours = rebuild(imported).state_dict()
    assert ours["backbone.stem.1.num_batches_tracked"] == 0
    assert {*imported.used} == {*kept}
    assert all(torch.equal(imported.state[new], kept[old]) for old, new in imported.used.items())


def test_a_missing_tensor_is_named() -> None:
    state = mobilenet_v2(width_mult=0.35).state_dict()
    del state["features.3.conv.1.0.weight"]
    # A missing tensor that no shape is read of is found when the weights are loaded.
    del state["features.1.conv.1.weight"]
    with pytest.raises(UserError, match=r"^here.pth: backbone.blocks.0.project.0.weight is not"):
        import_state(state, "here.pth")


def test_unknown_widths_are_refused() -> None:
    state = mobilenet_v2(width_mult=0.35).state_dict()
    state["features.0.0.weight"] = torch.ones(15, 3, 3, 3)
    with pytest.raises(UserError, match=r"^here.pth: a MobileNetV2 of channels 15, 8"):
        import_state(state, "here.pth")
