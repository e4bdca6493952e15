from pathlib import Path

import pytest
import torch

from mnv2_dense import builders
from mnv2_dense.builders import detection_data
from mnv2_dense.builders.detection import (
    FOCAL_PRIOR_LOGIT,
    build_data,
    build_decoder,
    build_loss,
    build_network,
    coarsest_stride,
    count_classes,
    read_split,
)
from mnv2_dense.builders.parts import input_size
from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.detection.data import join_targets
from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.detection.network import Detector, DetectorOutputs
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.errors import UserError
from mnv2_dense.images import read_image
from mnv2_dense.ops.count import count_layers
from mnv2_dense.ops.legacy_resize import resize_legacy
from mnv2_dense.structures import BoxTargets, Category, ImageSize, SampleKey
from tests.commands import tiny
from tests.commands.tiny import COCO_CONFIG

CATEGORIES = (Category(3, "cat"), Category(7, "dog"))


def config_of(*overrides: str) -> DetectionConfig:
    return tiny.config_of(Path("data"), *overrides)


def test_the_papers_network() -> None:
    config = load_config(COCO_CONFIG)
    assert isinstance(config, DetectionConfig)
    with torch.device("meta"):
        network = build_network(config, 80)
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_337_013


def test_the_full_head_of_the_paper() -> None:
    config = load_config(COCO_CONFIG, ["head.name=ssd"])
    assert isinstance(config, DetectionConfig)
    with torch.device("meta"):
        network = build_network(config, 80)
    layers = count_layers(network, input_size(config))
    assert sum(parameter.numel() for parameter in network.parameters()) == 17_000_501
    assert sum(layer.multiply_adds for layer in layers) == 1_870_281_472


@pytest.mark.parametrize(
    ("taps", "strides", "cells"),
    [
        (["block_12", "last"], [16, 32], 16 + 4),
        (["block_5", "block_12", "block_16"], [8, 16, 32], 64 + 16 + 4),
        (["block_12"], [16], 16),
    ],
    ids=lambda value: str(len(value)) if isinstance(value, list) else None,
)
@pytest.mark.parametrize("name", ["ssdlite", "ssd"])
def test_the_head_reads_the_configs_taps(
    taps: list[str], strides: list[int], cells: int, name: str
) -> None:
    """At 64 pixels, with one extra level behind the last tap; three anchors on the first level."""
    config = config_of(
        "backbone.output_stride=32",
        f"head.name={name}",
        f"head.taps=[{', '.join(taps)}]",
        "head.extra_channels=[32]",
    )
    network = build_network(config, 2).train()
    assert network.head.tap_names == taps
    assert [spec.stride for spec in network.backbone.specs] == strides
    outputs = network(torch.rand(2, 3, 64, 64))
    first, extra = (64 // strides[0]) ** 2, (64 // strides[-1] // 2) ** 2
    anchors = 3 * first + 6 * (cells - first + extra)
    assert outputs.class_logits.shape == (2, anchors, 3)
    assert outputs.anchors.shape == (anchors, 4)
    assert coarsest_stride(config) == 2 * strides[-1]
    (outputs.class_logits.square().mean() + outputs.box_deltas.square().mean()).backward()
    for parameter, tensor in network.named_parameters():
        assert tensor.grad is not None, parameter
        assert tensor.grad.isfinite().all(), parameter


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        (
            "[block_12, block_17]",
            r"head.taps: unknown taps \['block_17'\]; .* has stem, .*last",
        ),
        (
            "[last, block_12]",
            r"head.taps: .* finest first, not last at stride 32, block_12 at stride 16",
        ),
    ],
    ids=["unknown", "order"],
)
def test_taps_that_do_not_fit_are_a_line(taps: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}$"):
        build_network(config_of("backbone.output_stride=32", f"head.taps={taps}"), 2)


SEVEN_SCALES = [0.08, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9]
STRIDE_8 = (
    "backbone.output_stride=32",
    "head.taps=[block_6_expansion, block_13_expansion, last]",
    "head.extra_channels=[64, 32, 32, 32]",
    f"anchors.scales={SEVEN_SCALES}",
    "anchors.lowest_scale=0.04",
)


@pytest.mark.parametrize(
    ("height", "width", "cells"),
    [
        (320, 320, [(40, 40), (20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]),
        (203, 331, [(26, 42), (13, 21), (7, 11), (4, 6), (2, 3), (1, 2), (1, 1)]),
    ],
)
def test_a_level_of_stride_8_for_small_objects(
    height: int, width: int, cells: list[tuple[int, int]]
) -> None:
    """The finest level has three anchors per cell, the one at stride 16 now six."""
    network = build_network(config_of(*STRIDE_8), 2).eval()
    assert [spec.stride for spec in network.backbone.specs] == [8, 16, 32]
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, height, width))
    counts = [rows * columns * (6 if level else 3) for level, (rows, columns) in enumerate(cells)]
    assert outputs.class_logits.shape == (1, sum(counts), 3)
    assert outputs.anchors.shape == (sum(counts), 4)
    pixels = outputs.anchors * torch.tensor([width, height, width, height])
    first = [part[0] for part in pixels.split(counts)]
    squares = [0.04, *SEVEN_SCALES[1:]]
    for anchor, (rows, columns), scale in zip(first, cells, squares, strict=True):
        side = scale * min(height, width)
        expected = [width / columns / 2, height / rows / 2, side, side]
        torch.testing.assert_close(anchor, torch.tensor(expected), atol=1e-3, rtol=1e-5)


def test_a_level_of_stride_8_trains_and_decodes() -> None:
    config, size = config_of(*STRIDE_8), ImageSize(160, 224)
    network = build_network(config, 2).train()
    outputs = network(torch.rand(2, 3, *size))
    small = BoxTargets(torch.tensor([[50.0, 50.0, 56.0, 56.0]]), torch.tensor([1]))
    targets = join_targets([small, small])
    slots, _ = build_loss(config).assign(outputs.anchors, targets, 2, size)
    finest = 3 * (160 // 8) * (224 // 8)
    positive = slots[0].nonzero()
    assert len(positive) > 0
    assert positive.max() < finest, "a box of 6 pixels is learnt on the finest level"
    build_loss(config)(outputs, targets, size).total.backward()
    for branch in (network.head.class_branches[0], network.head.box_branches[0]):
        gradients = [parameter.grad for parameter in branch.parameters()]
        assert any(each is not None and each.any() for each in gradients)
    decoder = build_decoder(config_of(*STRIDE_8, "decode.score_threshold=0"))
    found = decoder(DetectorOutputs(*(each.detach() for each in outputs)), [size, size])
    assert [len(each.boxes) for each in found] == [100, 100]


def test_evenly_spaced_scales_follow_a_tap_more() -> None:
    config = config_of(*STRIDE_8, "anchors.scales=null", "anchors.min_scale=0.05")
    scales = build_network(config, 2).anchor_generator.scales
    assert scales == pytest.approx([0.05 + 0.15 * level for level in range(7)])


def test_scales_that_are_not_the_levels_are_a_line() -> None:
    message = (
        r"^anchors\.scales: 2 scales for 4 levels \(2 taps and 2 of head\.extra_channels\); "
        r"give one scale per level, finest first, or null$"
    )
    with pytest.raises(UserError, match=message):
        build_network(config_of("anchors.scales=[0.1, 0.2]"), 2)


def test_outputs_have_a_slot_for_the_background() -> None:
    network = build_network(config_of(), 2).eval()
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, 64, 64))
    assert outputs.class_logits.shape[-1] == 3


@pytest.mark.parametrize("head", ["ssdlite", "ssd"])
@pytest.mark.parametrize(("name", "prior"), [("focal", FOCAL_PRIOR_LOGIT), ("softmax", 0.0)])
def test_focal_loss_starts_from_its_prior(name: str, prior: float, head: str) -> None:
    network = build_network(config_of(f"loss.classification={name}", f"head.name={head}"), 2)
    biases = [
        tensor
        for key, tensor in network.head.named_parameters()
        if key.endswith("bias") and tensor.eq(prior).all() and tensor.numel() % 3 == 0
    ]
    assert biases
    assert torch.sigmoid(torch.tensor(FOCAL_PRIOR_LOGIT)) == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize(
    ("loss", "activation"), [("softmax", "softmax"), ("sigmoid", "sigmoid"), ("focal", "sigmoid")]
)
def test_decoder_fits_the_loss(loss: str, activation: str) -> None:
    config = config_of(f"loss.classification={loss}", "decode.max_detections=5")
    decoder = build_decoder(config)
    assert decoder.nms == "per_class"
    assert build_decoder(config_of("decode.nms=across_classes")).nms == "across_classes"
    assert (decoder.activation, decoder.max_detections) == (activation, 5)
    assert build_loss(config).classification == loss


@pytest.mark.parametrize("backend", ["mnv2_dense", "pycocotools"])
def test_the_metric_computes_as_the_config_says(backend: str) -> None:
    task = builders.build_task(config_of(f"evaluation.backend={backend}"), [Category(1, "cat")])
    assert isinstance(task.metric, CocoDetectionMetric)
    assert task.metric.backend == backend


def test_norms_take_the_configs_epsilon_and_momentum() -> None:
    network = build_network(config_of("backbone.norm_epsilon=0.5", "backbone.norm_momentum=0.2"), 2)
    norms = [each for each in network.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.5, 0.2)}


def test_data_of_a_config(shapes_set: Path) -> None:
    config = config_of(f"data.root={shapes_set}", "training.seed=5")
    train, val = read_split(config, "train"), read_split(config, "val")
    assert count_classes(config) == len(train.categories) == 10
    data = build_data(config, train, val)
    assert (data.seed, data.batch_size, data.num_workers) == (5, 4, 0)
    batch = next(iter(data.train_dataloader()))
    assert batch.images.shape == (4, 3, 64, 64)
    assert build_data(config, None, val).train_dataset is None


def test_files_that_were_read_are_given_back(
    shapes_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(f"data.root={shapes_set}")
    val = read_split(config, "val")
    given_back: list[int] = []
    monkeypatch.setattr(detection_data, "forget_files", lambda: given_back.append(1))
    build_data(config, None, val)
    assert given_back == [1]


def test_the_configs_resize_reaches_both_splits(shapes_set: Path) -> None:
    overrides = (f"data.root={shapes_set}", "input.height=96", "input.width=80")
    plain, legacy = config_of(*overrides), config_of(*overrides, "input.resize=legacy_bilinear")
    train, val = read_split(plain, "train"), read_split(plain, "val")
    images = []
    for config in (plain, legacy):
        data = build_data(config, train, val)
        assert data.val_dataset is not None
        images.append(data.val_dataset[SampleKey(0, 0)].image)
        assert next(iter(data.train_dataloader())).images.dtype == torch.uint8
    expected = resize_legacy(read_image(val.path(0)), input_size(legacy))
    assert images[1].permute(1, 2, 0).numpy().tolist() == expected.tolist()
    assert images[0].dtype == torch.uint8
    assert not torch.equal(images[0].float(), images[1])


def test_training_pictures_are_resized_by_the_configs_rule(shapes_set: Path) -> None:
    off = [f"augmentation.{step}=0" for step in ("photometric", "expand", "iou_crop")]
    config = config_of(
        *off,
        "augmentation.horizontal_flip=0",
        "input.resize=legacy_bilinear",
        f"data.root={shapes_set}",
        "input.height=96",
    )
    train, val = read_split(config, "train"), read_split(config, "val")
    data = build_data(config, train, val)
    assert data.train_dataset is not None
    image = data.train_dataset[SampleKey(0, 0)].image
    expected = resize_legacy(read_image(train.path(0)), input_size(config)).round()
    assert image.dtype == torch.uint8
    assert image.permute(1, 2, 0).numpy().tolist() == expected.tolist()


def test_classes_may_be_counted_without_data() -> None:
    assert count_classes(config_of("data.num_classes=7")) == 7
    with pytest.raises(UserError, match=r"give data\.num_classes=N"):
        count_classes(config_of("data.generate=null"))


def test_each_extra_level_halves_the_last_map() -> None:
    four = ["backbone.output_stride=32", "head.extra_channels=[64, 64, 64, 64]"]
    assert coarsest_stride(config_of(*four)) == 32 * 2**4
    one = ["backbone.output_stride=16", "head.extra_channels=[64]"]
    assert coarsest_stride(config_of(*one)) == 16 * 2


def test_the_package_takes_this_task_by_the_config(shapes_set: Path) -> None:
    config = config_of(f"data.root={shapes_set}")
    assert isinstance(builders.build_network(config, 2), Detector)
    assert isinstance(builders.build_task(config, CATEGORIES), DetectionTask)
    assert builders.coarsest_stride(config) == coarsest_stride(config)
    assert builders.count_classes(config) == 10
    index = builders.read_split(config, "val")
    assert builders.build_data(config, None, index).val_batch_size == 4
