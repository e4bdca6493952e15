from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from mnv2_dense import builders
from mnv2_dense.builders.segmentation import (
    AUXILIARY_TAP,
    build_data,
    build_inference,
    build_loss,
    build_network,
    build_other_stride,
    build_task,
    coarsest_stride,
    count_classes,
    read_categories,
    read_split,
)
from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import SegmentationConfig
from mnv2_dense.errors import UserError
from mnv2_dense.ops.count import count_layers
from mnv2_dense.segmentation.network import DeepLabV3
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.shapes.label_maps import LABEL_NAMES
from mnv2_dense.structures import IGNORE_INDEX, Category, ImageSize
from tests.commands import tiny
from tests.commands.tiny import ASPP_CONFIG, SEGMENTATION_CONFIG, WINDOW

CATEGORIES = (Category(0, "background"), Category(1, "cat"), Category(2, "dog"))


def config_of(*overrides: str) -> SegmentationConfig:
    return tiny.segmentation_config_of(Path("data"), *overrides)


def published(path: Path) -> SegmentationConfig:
    config = load_config(path)
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


@pytest.mark.parametrize(("tap", "channels"), [("block_16", 112), ("last", 1280)])
def test_the_head_reads_the_configs_tap(tap: str, channels: int) -> None:
    network = build_network(config_of(f"head.tap={tap}"), 3).eval()
    assert network.head.tap_name == tap
    assert network.head.image_pooling.convolution.in_channels == channels
    assert network.auxiliary_head is None
    assert network(torch.zeros(1, 3, WINDOW, WINDOW)).class_logits.shape == (1, 3, 5, 5)


@pytest.mark.parametrize("tap", ["block_16", "last"])
def test_the_auxiliary_head_reads_an_earlier_map(tap: str) -> None:
    assert AUXILIARY_TAP == "block_12"
    network = build_network(config_of("head.auxiliary=true", f"head.tap={tap}"), 3)
    assert network.head.tap_name == tap
    assert network.auxiliary_head is not None
    assert network.auxiliary_head.tap_name == "block_12"
    outputs = network(torch.zeros(2, 3, WINDOW, WINDOW))
    assert outputs.auxiliary_logits.shape == (2, 3, 5, 5)


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


def test_pretrained_weights_are_loaded_only_when_asked_for(tmp_path: Path) -> None:
    source = build_network(config_of(), 3).backbone
    for parameter in source.parameters():
        nn.init.constant_(parameter, 0.125)
    torch.save(source.state_dict(), tmp_path / "backbone.pt")
    config = config_of(f"backbone.weights={tmp_path / 'backbone.pt'}")
    for pretrained in (False, True):
        task = build_task(config, CATEGORIES, pretrained=pretrained)
        backbone = task.network.get_submodule("backbone")
        weights = [parameter.eq(0.125).all() for parameter in backbone.parameters()]
        assert all(weights) is pretrained


def test_classes_are_named_or_numbered() -> None:
    assert read_categories(config_of("data.classes=[void, cat]")) == ((0, "void"), (1, "cat"))
    config = config_of("data.classes=null", "data.num_classes=3")
    assert [name for _, name in read_categories(config)] == ["class 0", "class 1", "class 2"]
    assert count_classes(config) == 3


def test_classes_must_be_given() -> None:
    with pytest.raises(UserError, match=r"data\.classes is not given.*data\.num_classes=N"):
        count_classes(config_of("data.classes=null"))


def test_a_built_in_set_without_label_maps_is_to_be_drawn_anew(tmp_path: Path) -> None:
    (tmp_path / "train2017").mkdir()
    with pytest.raises(UserError, match=f"Remove {tmp_path}: it was drawn by an earlier version"):
        read_split(config_of(f"data.root={tmp_path}", "data.generate=shapes"), "train")


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
    assert isinstance(builders.build_network(config, 3), DeepLabV3)
    assert isinstance(builders.build_task(config, CATEGORIES), SegmentationTask)
    assert builders.coarsest_stride(config) == coarsest_stride(config) == 16
    assert builders.count_classes(config) == len(LABEL_NAMES)
    index = builders.read_split(config, "val")
    assert builders.build_data(config, None, index).val_batch_size == 4
