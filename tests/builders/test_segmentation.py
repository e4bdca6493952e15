import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from mnv2_dense import builders
from mnv2_dense.builders.parts import input_size
from mnv2_dense.builders.segmentation import (
    build_data,
    build_inference,
    build_loss,
    build_network,
    build_other_stride,
    build_task,
    choose_taps,
    coarsest_stride,
    count_classes,
    read_categories,
    read_split,
)
from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import SegmentationConfig
from mnv2_dense.errors import UserError
from mnv2_dense.ops.count import count_layers
from mnv2_dense.segmentation.head import DeepLabV3Head
from mnv2_dense.segmentation.lraspp import LRASPPHead
from mnv2_dense.segmentation.network import Segmenter
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.shapes.label_maps import LABEL_NAMES
from mnv2_dense.structures import IGNORE_INDEX, Category, ImageSize
from tests.commands import tiny
from tests.commands.tiny import ASPP_CONFIG, SEGMENTATION_CONFIG, WINDOW
from tests.training.tiny import bare_trainer

CATEGORIES = (Category(0, "background"), Category(1, "cat"), Category(2, "dog"))


def config_of(*overrides: str) -> SegmentationConfig:
    return tiny.segmentation_config_of(Path("data"), *overrides)


def published(path: Path, *overrides: str) -> SegmentationConfig:
    config = load_config(path, overrides)
    assert isinstance(config, SegmentationConfig)
    return config


@pytest.mark.parametrize(
    ("path", "classes", "parameters", "stride", "multiply_adds"),
    [
        (SEGMENTATION_CONFIG, 21, 2_113_557, 16, 2_740_709_056),
        (SEGMENTATION_CONFIG, 21, 2_113_557, 8, 8_825_853_632),
        (ASPP_CONFIG, 21, 4_523_541, 16, 5_363_508_928),
        (ASPP_CONFIG, 21, 4_523_541, 8, 19_001_546_432),
        (SEGMENTATION_CONFIG, 19, 2_113_043, 16, None),
        (ASPP_CONFIG, 19, 4_523_027, 16, None),
    ],
)
def test_the_papers_networks(
    path: Path, classes: int, parameters: int, stride: int, multiply_adds: int | None
) -> None:
    with torch.device("meta"):  # shapes alone: nothing is computed
        network = build_network(published(path), classes, stride)
    layers = count_layers(network, ImageSize(513, 513))
    assert sum(layer.parameters for layer in layers) == parameters
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    if multiply_adds is not None:
        assert sum(layer.multiply_adds for layer in layers) == multiply_adds


@pytest.mark.parametrize(("aspp", "parameters"), [("none", 3_017_237), ("dense", 12_062_741)])
def test_deeplabv3_on_the_1280_channel_map(aspp: str, parameters: int) -> None:
    overrides = ["head.tap=last", f"head.aspp={aspp}"]
    with torch.device("meta"):
        network = build_network(published(SEGMENTATION_CONFIG, *overrides), 21)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_lite_r_aspp_is_the_lightest() -> None:
    """By hand, see the head's own tests: DeepLabv3's light head has 301,845 and 237,884,672."""
    config = published(SEGMENTATION_CONFIG, "head.name=lr_aspp")
    with torch.device("meta"):
        network = build_network(config, 21)
    layers = count_layers(network, input_size(config))
    assert sum(layer.parameters for layer in layers) == 1_811_712 + 85_578
    by_hand = 2_740_709_056 - 237_884_672 + 58_842_400
    assert sum(layer.multiply_adds for layer in layers) == by_hand == 2_561_666_784
    assert isinstance(network.head, LRASPPHead)
    assert network.head.align_corners is config.head.align_corners is True


@pytest.mark.parametrize(("tap", "channels"), [("block_16", 112), ("last", 1280)])
def test_the_head_reads_the_configs_tap(tap: str, channels: int) -> None:
    network = build_network(config_of(f"head.tap={tap}"), 3).eval()
    assert isinstance(network.head, DeepLabV3Head)
    assert network.head.tap_name == tap
    assert network.head.image_pooling.convolution.in_channels == channels
    assert network.auxiliary_head is None
    assert network(torch.zeros(1, 3, WINDOW, WINDOW)).class_logits.shape == (1, 3, 5, 5)


@pytest.mark.parametrize("tap", ["block_16", "last"])
def test_the_auxiliary_head_reads_an_earlier_map(tap: str) -> None:
    network = build_network(config_of("head.auxiliary=true", f"head.tap={tap}"), 3)
    assert network.head.tap_name == tap
    assert network.auxiliary_head is not None
    assert network.auxiliary_head.tap_name == "block_12"
    outputs = network(torch.zeros(2, 3, WINDOW, WINDOW))
    assert outputs.auxiliary_logits.shape == (2, 3, 5, 5)


@pytest.mark.parametrize(
    ("overrides", "taps"),
    [
        ([], ["block_16", "block_5"]),
        (["head.auxiliary=true"], ["block_16", "block_5", "block_12"]),
        (["head.tap=last", "head.low_level_tap=block_2"], ["last", "block_2"]),
    ],
    ids=["by itself", "with an auxiliary head", "others"],
)
def test_lite_r_aspp_reads_two_maps(overrides: list[str], taps: list[str]) -> None:
    config = config_of("head.name=lr_aspp", "head.channels=null", *overrides)
    assert choose_taps(config) == taps
    network = build_network(config, 3)
    assert isinstance(network.head, LRASPPHead)
    assert [network.head.tap_name, network.head.low_level_tap_name] == taps[:2]
    assert network.head.classifier.in_channels == 128
    outputs = network.train()(torch.zeros(2, 3, WINDOW, WINDOW))
    cells = math.ceil(WINDOW / network.backbone.specs[1].stride)
    assert outputs.class_logits.shape == (2, 3, cells, cells)
    if network.auxiliary_head is not None:
        assert network.auxiliary_head.tap_name == "block_12"
        assert outputs.auxiliary_logits.shape == (2, 3, 5, 5)


def test_lite_r_aspp_takes_the_configs_settings() -> None:
    head = build_network(
        config_of(
            "head.name=lr_aspp",
            "head.norm_epsilon=0.0625",
            "head.norm_momentum=0.5",
            "head.activation=relu6",
            "head.dropout=0.25",
            "head.align_corners=false",
        ),
        3,
    ).head
    assert isinstance(head, LRASPPHead)
    assert norms_of(head) == {(0.0625, 0.5)}
    assert (head.project[0].out_channels, head.dropout.p) == (16, 0.25)
    assert isinstance(head.project[2], nn.ReLU6)
    assert head.align_corners is False


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["head.tap=block_17"],
            r"head.tap: unknown taps \['block_17'\]; mobilenet_v2 has stem, .*last",
        ),
        (
            ["head.name=lr_aspp", "head.low_level_tap=fine"],
            r"head.tap or head.low_level_tap: unknown taps \['fine'\]; .* has stem, .*last",
        ),
        (
            ["head.name=lr_aspp", "head.tap=block_5", "head.low_level_tap=last"],
            "head.low_level_tap: last at stride 16 is coarser than block_5 at stride 8; .*",
        ),
        (["head.low_level_tap=block_5"], "deeplabv3 reads one map; low_level_tap is .*lr_aspp"),
        (["head.name=lr_aspp", "head.aspp=dense"], "lr_aspp has no atrous branches; .* aspp"),
    ],
    ids=["unknown tap", "unknown finer tap", "coarser tap", "one map", "no branches"],
)
def test_taps_and_keys_that_do_not_fit_are_a_line(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=f"{message}$") as caught:
        build_network(config_of(*overrides), 3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "stride"),
    [
        (["head.name=lr_aspp"], 16),
        (["head.name=lr_aspp", "backbone.output_stride=32"], 32),
        (["head.tap=block_5"], 8),
        (["head.tap=block_5", "head.auxiliary=true"], 16),
    ],
)
def test_the_coarsest_map_of_all_heads(overrides: list[str], stride: int) -> None:
    assert coarsest_stride(config_of(*overrides)) == stride


@pytest.mark.parametrize(
    ("given", "momentum"), [("null", 0.25), ("0.5", 0.5)], ids=["as the backbone's", "its own"]
)
def test_the_heads_norms_have_their_own_settings(given: str, momentum: float) -> None:
    network = build_network(
        config_of(
            "backbone.norm_momentum=0.25",
            "backbone.norm_epsilon=0.125",
            f"head.norm_momentum={given}",
            "head.norm_epsilon=0.0625",
            "head.aspp=separable",
            "head.auxiliary=true",
        ),
        3,
    )
    assert norms_of(network.backbone) == {(0.125, 0.25)}
    assert norms_of(network.head) == norms_of(network.auxiliary_head) == {(0.0625, momentum)}


def norms_of(module: nn.Module | None) -> set[tuple[float, float | None]]:
    assert module is not None
    norms = [each for each in module.modules() if isinstance(each, nn.BatchNorm2d)]
    return {(norm.eps, norm.momentum) for norm in norms}


@pytest.mark.parametrize(("name", "kind"), [("relu", nn.ReLU), ("relu6", nn.ReLU6)])
def test_activation_of_the_head(name: str, kind: type[nn.Module]) -> None:
    head = build_network(config_of(f"head.activation={name}"), 3).head
    activations = [each for each in head.modules() if isinstance(each, nn.ReLU | nn.ReLU6)]
    assert activations
    assert {type(each) for each in activations} == {kind}


@pytest.mark.parametrize("stride", ["null", "16"])
def test_no_other_stride_where_it_is_trainings(stride: str) -> None:
    config = config_of(f"evaluation.output_stride={stride}")
    assert build_other_stride(config, 3) is None
    assert build_task(config, CATEGORIES).other_stride is None


def test_another_stride_runs_the_same_weights_over_more_cells() -> None:
    task = build_task(config_of("evaluation.output_stride=8"), CATEGORIES)
    assert task.other_stride is not None
    images = torch.zeros(1, 3, WINDOW, WINDOW)
    assert task.other_stride(task.network, images).class_logits.shape == (1, 3, 9, 9)
    assert task.network(torch.zeros(2, 3, WINDOW, WINDOW)).class_logits.shape == (2, 3, 5, 5)


def test_lite_r_aspp_trains_and_predicts_at_another_stride(
    shapes_set: Path, tmp_path: Path
) -> None:
    """Two scales and a flip; logits stand at stride 8, whatever the backbone's."""
    config = config_of(
        f"data.root={shapes_set}",
        "head.name=lr_aspp",
        "head.auxiliary=true",
        "evaluation.output_stride=8",
        "evaluation.scales=[0.5, 1.0]",
        "evaluation.flip=true",
    )
    task = build_task(config, read_categories(config))
    before = [parameter.clone() for parameter in task.parameters()]
    data = build_data(config, read_split(config, "train"), read_split(config, "val"))
    run = bare_trainer(tmp_path, max_steps=1)
    run.fit(task, data)
    assert run.callback_metrics["train/loss"].isfinite()
    changed = [
        not torch.equal(one, other) for one, other in zip(before, task.parameters(), strict=True)
    ]
    assert all(changed)
    assert task.other_stride is not None
    images = torch.randn(1, 3, WINDOW, WINDOW)
    with torch.no_grad():
        own = task.eval().network(images).class_logits
    other = task.other_stride(task.network, images).class_logits
    assert own.shape == other.shape == (1, len(LABEL_NAMES), 9, 9)
    assert not torch.allclose(own, other)
    loader = data.val_dataloader()
    assert isinstance(loader, DataLoader)
    with torch.inference_mode():
        label_maps = task.predict_step(next(iter(loader)), 0)
    assert [tuple(label_map.shape) for label_map in label_maps] == [(64, 64)] * 4


@pytest.mark.parametrize("value", [True, False])
def test_one_rule_of_alignment_for_all_resizing(value: bool) -> None:
    task = build_task(config_of(f"head.align_corners={str(value).lower()}"), CATEGORIES)
    assert task.loss.align_corners is value
    assert task.inference.align_corners is value
    assert task.inference.decoder.align_corners is value


def test_loss_of_a_config() -> None:
    loss = build_loss(
        config_of(
            "data.num_classes=null",
            "data.classes=[a, b]",
            "loss.class_weights=[1, 2]",
            "loss.hard_pixel_share=0.5",
            "loss.auxiliary_weight=0.25",
        )
    )
    assert loss.class_weights is not None
    assert loss.class_weights.tolist() == [1, 2]
    assert (loss.hard_pixel_share, loss.auxiliary_weight) == (0.5, 0.25)


def test_inference_of_a_config() -> None:
    inference = build_inference(
        config_of(
            "evaluation.scales=[0.5, 1.0]",
            "evaluation.flip=true",
            "evaluation.window_overlap=0.5",
            "evaluation.large_pictures=shrink",
            "input.height=33",
        )
    )
    found: dict[str, Any] = vars(inference)
    expected = {
        "window": ImageSize(33, WINDOW),
        "scales": (0.5, 1.0),
        "flip": True,
        "overlap": 0.5,
        "large_pictures": "shrink",
    }
    assert {name: found[name] for name in expected} == expected


def test_classes_are_named_or_numbered() -> None:
    assert read_categories(config_of("data.classes=[void, cat]")) == ((0, "void"), (1, "cat"))
    config = config_of("data.classes=null", "data.num_classes=3")
    assert [name for _, name in read_categories(config)] == ["class 0", "class 1", "class 2"]
    assert count_classes(config) == 3


def test_classes_are_counted_in_the_data_or_given(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no training masks to count.*data\.num_classes=N"):
        count_classes(config_of("data.classes=null", f"data.root={tmp_path}"))


def test_nobody_is_told_to_remove_a_folder(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    config = config_of(f"data.root={tmp_path}", "data.generate=shapes")
    with pytest.raises(UserError, match=f"data.root={tmp_path} holds no built-in scenes: name a"):
        read_split(config, "train")


def test_data_of_a_config(shapes_set: Path) -> None:
    config = config_of(f"data.root={shapes_set}", "training.seed=5")
    train, val = read_split(config, "train"), read_split(config, "val")
    assert [name for _, name in train.categories] == list(LABEL_NAMES)
    data = build_data(config, train, val)
    assert (data.seed, data.batch_size, data.num_workers) == (5, 4, 0)
    batch = next(iter(data.train_dataloader()))
    assert batch.images.shape == (4, 3, WINDOW, WINDOW)
    assert batch.label_maps.shape == (4, WINDOW, WINDOW)
    loader = data.val_dataloader()
    assert isinstance(loader, DataLoader)
    measured = next(iter(loader))
    assert measured.images.shape == (4, 3, 64, 64)  # as they are: inference pads them
    assert build_data(config, None, val).train_dataset is None


def test_the_datas_settings_reach_the_masks(shapes_set: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("000000000003\n000000000001\n")
    index = read_split(
        config_of(
            f"data.root={shapes_set}",
            f"data.train_list={tmp_path / 'list.txt'}",  # paths may be absolute
            f"data.train_images={shapes_set / 'train2017'}",
            "data.classes=null",
            "data.num_classes=254",
            "data.ignore_index=254",
            f"data.colors={[[0, 0, n] for n in range(254)]}",
            "data.ignore_color=[1, 2, 3]",
        ),
        "train",
    )
    assert [index.image_id(place) for place in range(len(index))] == [
        "000000000003",
        "000000000001",
    ]
    assert (index.rule.num_classes, index.rule.ignore_index) == (254, 254)
    assert index.rule.colors is not None
    assert index.rule.colors[253] == (0, 0, 253)
    assert index.rule.ignore_color == (1, 2, 3)


def test_void_of_a_mask_is_void_in_memory(shapes_set: Path) -> None:
    train = read_split(config_of(f"data.root={shapes_set}"), "train")
    values = {int(value) for i in range(len(train)) for value in train.label_map(i).ravel()}
    assert values <= {*range(len(LABEL_NAMES)), IGNORE_INDEX}
    assert {0, *range(1, 4)} & values


def test_the_package_takes_this_task_by_the_config(shapes_set: Path) -> None:
    config = config_of(f"data.root={shapes_set}")
    assert isinstance(builders.build_network(config, 3), Segmenter)
    assert isinstance(builders.build_task(config, CATEGORIES), SegmentationTask)
    assert builders.coarsest_stride(config) == coarsest_stride(config) == 16
    assert builders.count_classes(config) == len(LABEL_NAMES)
    index = builders.read_split(config, "val")
    assert builders.build_data(config, None, index).val_batch_size == 4
