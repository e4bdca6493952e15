from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mnv2_dense.backbone.blocks import SamePadConv2d
from mnv2_dense.backbone.mobilenet_v2 import SSD_TAPS, MobileNetV2
from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.detection.head import SSDHead
from mnv2_dense.detection.network import Detector
from mnv2_dense.ops.count import count_layers
from mnv2_dense.structures import FeatureSpec, ImageSize

TAPS = (FeatureSpec("fine", 16, 16), FeatureSpec("coarse", 24, 32))


def full_size(num_slots: int, *, separable: bool = True) -> Detector:
    """The paper's detector, with shapes and no numbers.

    81 slots are COCO's 80 classes and the background.
    """
    with torch.device("meta"):
        backbone, anchors = MobileNetV2(SSD_TAPS), AnchorGenerator()
        head = SSDHead(backbone.specs, anchors.counts, num_slots, separable=separable)
        return Detector(backbone, head, anchors)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("num_slots", "size", "expected_parameters", "multiply_adds"),
    [
        (81, 320, 4_337_013, 788_830_144),
        (81, 300, 4_337_013, 734_610_416),
        (91, 300, 4_500_543, 749_503_856),
    ],
)
def test_detector_has_the_papers_counts(
    num_slots: int, size: int, expected_parameters: int, multiply_adds: int
) -> None:
    network = full_size(num_slots)
    rows = count_layers(network, ImageSize(size, size))
    assert parameters(network) == expected_parameters
    assert sum(row.parameters for row in rows) == expected_parameters
    assert sum(row.multiply_adds for row in rows) == multiply_adds


def test_head_alone_has_the_papers_counts() -> None:
    """Table 5: 2.1M. Its 0.35B is twice ours, as if operations were counted, not pairs."""
    network = full_size(81)
    rows = count_layers(network, ImageSize(320, 320))
    head = [row for row in rows if row.name.startswith("head.")]
    assert parameters(network.head) == sum(row.parameters for row in head) == 2_113_141
    assert sum(row.multiply_adds for row in head) == 177_617_344


def test_voc_and_release_counts() -> None:
    voc = full_size(21)
    assert (parameters(voc), parameters(voc.head)) == (3_355_833, 1_131_961)
    norms = [m for m in full_size(91).modules() if isinstance(m, nn.BatchNorm2d)]
    folded = 4_500_543 - sum(norm.num_features for norm in norms)  # two parameters become a bias
    assert folded == 4_475_167


@pytest.mark.parametrize(
    ("num_slots", "expected_parameters", "multiply_adds"),
    [(81, 14_776_629, 1_259_068_672), (80, 14_629_716, 1_245_058_048)],
)
def test_full_head_has_the_papers_counts(
    num_slots: int, expected_parameters: int, multiply_adds: int
) -> None:
    """Table 5: 14.8M and 1.25B; 81 slots give the one and 80 the other."""
    network = full_size(num_slots, separable=False)
    rows = count_layers(network, ImageSize(320, 320))
    head = [row for row in rows if row.name.startswith("head.")]
    assert parameters(network.head) == sum(row.parameters for row in head) == expected_parameters
    assert sum(row.multiply_adds for row in head) == multiply_adds


def test_detector_of_full_convolutions_has_its_counts() -> None:
    network = full_size(81, separable=False)
    rows = count_layers(network, ImageSize(320, 320))
    assert parameters(network) == 17_000_501
    assert sum(row.multiply_adds for row in rows) == 1_870_281_472
    state = network.state_dict()
    running = [tensor for name, tensor in state.items() if "running_" in name]
    assert sum(tensor.numel() for tensor in running) == 37_568


def test_state_dict_holds_every_running_statistic() -> None:
    state = full_size(81).state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == 4_387_841 == 4_337_013 + 50_752 + 76


both_forms = pytest.mark.parametrize("separable", [True, False], ids=["SSDLite", "SSD"])


def small(**options: object) -> SSDHead:
    defaults = {"anchors_per_cell": (2, 3, 1), "num_slots": 4, "extra_channels": (32,)}
    return SSDHead(TAPS, **{**defaults, **options}).eval()  # pyrefly: ignore


def features(height: int = 6, width: int = 8) -> dict[str, torch.Tensor]:
    coarse = torch.randn(2, 24, (height + 1) // 2, (width + 1) // 2)
    return {"coarse": coarse, "fine": torch.randn(2, 16, height, width)}


@both_forms
def test_shapes_and_sizes_of_every_level(separable: bool) -> None:
    outputs = small(separable=separable)(features())
    assert outputs.feature_sizes == [ImageSize(6, 8), ImageSize(3, 4), ImageSize(2, 2)]
    count = 48 * 2 + 12 * 3 + 4 * 1
    assert outputs.class_logits.shape == (2, count, 4)
    assert outputs.box_deltas.shape == (2, count, 4)


@both_forms
def test_predictions_stand_in_the_order_of_the_anchors(separable: bool) -> None:
    """Each output bias tells level, anchor and slot; a bump in one map tells its cell."""
    head = small(separable=separable)
    for code, branches in enumerate((head.class_branches, head.box_branches)):
        for level, branch in enumerate(branches):
            layer: Any = branch
            nn.init.zeros_(layer[-1].weight)
            bias = layer[-1].bias
            with torch.no_grad():
                bias.copy_(torch.arange(len(bias)) + 100 * level + 1000 * code)
    outputs = head(features())
    # Level 1 begins behind 6 * 8 * 2 anchors; its third cell's second anchor is number 7.
    assert outputs.class_logits[0, 96 + 2 * 3 + 1].tolist() == [104, 105, 106, 107]
    assert outputs.box_deltas[1, 96 + 2 * 3 + 1].tolist() == [1104, 1105, 1106, 1107]
    assert outputs.class_logits[0, -1].tolist() == [200, 201, 202, 203]
    assert outputs.class_logits[0, 5].tolist() == [4, 5, 6, 7]


@both_forms
def test_a_cell_predicts_where_its_anchor_stands(separable: bool) -> None:
    """A bump at row 1, column 6 of the fine map moves the anchors centred on it the most."""
    head = small(anchors_per_cell=(3, 3, 3), separable=separable)
    maps = features()
    moved = {**maps, "fine": maps["fine"].clone()}
    moved["fine"][:, :, 1, 6] += 5
    for before, after in zip(head(maps)[:2], head(moved)[:2], strict=True):
        changed = (before != after).any(dim=2)[0, : 48 * 3].nonzero()[:, 0]
        assert len(changed) == 9 * 3  # a 3x3 kernel's reach, three anchors in each cell
        generator = AnchorGenerator(3)
        cells = [ImageSize(6, 8), ImageSize(3, 4), ImageSize(2, 2)]
        anchors = generator(cells, ImageSize(96, 128), torch.device("cpu"))
        center = anchors[changed, :2].mean(dim=0) * torch.tensor([8, 6])
        torch.testing.assert_close(center, torch.tensor([6.5, 1.5]))


@both_forms
def test_class_bias_is_on_every_class_logit_only(separable: bool) -> None:
    head = small(class_bias=-4.6, separable=separable)
    class_branches: Any = head.class_branches
    box_branches: Any = head.box_branches
    for branch in class_branches:
        assert torch.equal(branch[-1].bias, torch.full_like(branch[-1].bias, -4.6))
    for branch in box_branches:
        assert not branch[-1].bias.any()
    logits = head(features()).class_logits
    assert (logits + 4.6).abs().mean() < 1


@both_forms
def test_weights_begin_as_the_releases(separable: bool) -> None:
    head = small(separable=separable)
    weights = torch.cat([m.weight.flatten() for m in head.modules() if isinstance(m, nn.Conv2d)])
    assert weights.abs().max() <= 0.06
    assert 0.025 < weights.std() < 0.03  # a normal of 0.03 cut at two deviations has 0.0264


@pytest.mark.parametrize(
    ("width_mult", "extra_channels", "expected"),
    [
        (1.0, (512, 256, 256, 128), [(256, 512), (128, 256), (128, 256), (64, 128)]),
        (0.5, (512, 256, 256, 128), [(128, 256), (64, 128), (64, 128), (32, 64)]),
        (0.2, (512, 128), [(51, 102), (16, 25)]),
        (0.01, (512, 128), [(16, 16), (16, 16)]),
    ],
)
def test_width_of_extra_levels_and_their_least_depth(
    width_mult: float, extra_channels: tuple[int, ...], expected: list[tuple[int, int]]
) -> None:
    """The release bounds either layer: max(int(depth * width), 16), and so with depth / 2."""
    head = small(
        anchors_per_cell=(1,) * (2 + len(extra_channels)),
        extra_channels=extra_channels,
        width_mult=width_mult,
    )
    extras: Any = head.extras
    assert [(e[0][0].out_channels, e[2][0].out_channels) for e in extras] == expected


@both_forms
def test_no_extra_levels(separable: bool) -> None:
    head = small(anchors_per_cell=(1, 1), extra_channels=(), separable=separable)
    assert head(features()).class_logits.shape == (2, 48 + 12, 4)


def test_names_of_the_weights_stay_as_checkpoints_have_them() -> None:
    names = [name for name, _ in small(anchors_per_cell=(1, 1, 1)).named_parameters()]
    norm = ["0.0.weight", "0.1.weight", "0.1.bias"]
    branch = [*norm, "1.weight", "1.bias"]
    extra = [f"extras.0.{layer}{part[1:]}" for layer in range(3) for part in norm]
    branches = [f"{kind}_branches.{level}" for kind in ("class", "box") for level in range(3)]
    assert names == [*extra, *(f"{prefix}.{name}" for prefix in branches for name in branch)]


@torch.no_grad()
def test_full_head_is_plain_convolutions() -> None:
    """The whole head, written with plain functions."""
    head = small(separable=False)
    maps = features()
    extra: Any = head.extras[0]
    (reduce, first, _), (strided, second, _) = extra
    levels = [maps["fine"], maps["coarse"]]
    reduced = F.relu6(first(F.conv2d(maps["coarse"], reduce.weight)))
    levels.append(F.relu6(second(F.conv2d(reduced, strided.weight, stride=2, padding=1))))
    assert (reduce.out_channels, strided.out_channels, len(extra)) == (16, 32, 2)
    for branches, found, slots in zip(
        (head.class_branches, head.box_branches), head(maps)[:2], (4, 4), strict=True
    ):
        expected = []
        for branch, level in zip(branches, levels, strict=True):
            weight, bias = branch.parameters()
            raw = F.conv2d(level, weight, bias, padding=1)
            expected.append(raw.movedim(1, 3).reshape(2, -1, slots))
        torch.testing.assert_close(found, torch.cat(expected, dim=1))


@both_forms
def test_every_parameter_learns(separable: bool) -> None:
    head = small(separable=separable).train()
    outputs = head(features())
    (outputs.class_logits.square().mean() + outputs.box_deltas.square().mean()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_taps_must_be_given_finest_first() -> None:
    message = "finest first, not coarse at stride 32, fine at stride 16"
    with pytest.raises(ValueError, match=message):
        SSDHead(TAPS[::-1], (1, 1), 4, extra_channels=())
    SSDHead([TAPS[0], TAPS[0]._replace(name="as fine")], (1, 1), 4, extra_channels=())


def test_a_tap_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="given twice: fine, fine"):
        SSDHead([TAPS[0], TAPS[0]], (1, 1), 4, extra_channels=())


@pytest.mark.parametrize(("separable", "count"), [(True, 3 + 2 * 3), (False, 2)])
def test_padding_and_norm_options_reach_every_layer(separable: bool, count: int) -> None:
    head = small(padding="same", norm_epsilon=0.5, norm_momentum=0.25, separable=separable)
    norms = [m for m in head.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == count
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.5, 0.25)}
    strided = [m for m in head.modules() if isinstance(m, nn.Conv2d) and m.stride[0] == 2]
    assert [type(layer) for layer in strided] == [SamePadConv2d]


@both_forms
def test_channels_last_gives_the_same_numbers(separable: bool) -> None:
    head = small(separable=separable)
    maps = features()
    other = {name: m.contiguous(memory_format=torch.channels_last) for name, m in maps.items()}
    for plain, last in zip(head(maps)[:2], head(other)[:2], strict=True):
        torch.testing.assert_close(last, plain)


def test_anchors_per_cell_must_be_given_for_every_level() -> None:
    with pytest.raises(ValueError, match="shorter"):
        small(anchors_per_cell=(1, 1))
