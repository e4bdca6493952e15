from pathlib import Path

import pytest
import yaml

from mnv2_dense.config.fields import allowed, key_schema, sections
from mnv2_dense.config.loader import load_config, parse_config, to_yaml
from mnv2_dense.config.schema import CONFIGS, SegmentationConfig
from mnv2_dense.config.segmentation import VOID
from mnv2_dense.errors import UserError
from mnv2_dense.structures import IGNORE_INDEX

FILE = Path(__file__).parents[2] / "configs" / "deeplabv3_voc.yaml"
TWO = ["data.classes=[background, cat]"]


def test_void_is_that_of_label_maps_in_memory() -> None:
    assert VOID == IGNORE_INDEX
    assert SegmentationConfig().data.ignore_index == IGNORE_INDEX


def test_the_task_chooses_the_config() -> None:
    assert CONFIGS["segmentation"] is SegmentationConfig
    assert isinstance(parse_config({"task": "segmentation"}), SegmentationConfig)
    assert isinstance(parse_config({}, ["task=segmentation"]), SegmentationConfig)
    with pytest.raises(UserError, match=r"evaluation.*no known key"):
        parse_config({"evaluation": {"flip": True}})


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.classes=[a, b]", "data.num_classes=3"], "num_classes is 3, but classes has 2"),
        (["data.classes=[a, a]"], "classes has a name twice"),
        (["data.classes=[a]"], "1 classes; 2 to 255 are possible"),
        (["data.classes=null", "data.num_classes=256"], "256 classes; 2 to 255 are possible"),
        ([*TWO, "data.ignore_index=1"], "ignore_index 1 is a class; the 2 classes have"),
        ([*TWO, "data.ignore_index=256"], "data.ignore_index cannot be 256"),
        ([*TWO, "data.colors=[[0, 0, 0]]"], "colors has 1 entries for 2 classes"),
        ([*TWO, "data.colors=[[0, 0, 0], [0, 0, 0]]"], "have a colour twice"),
        (
            [*TWO, "data.colors=[[0, 0, 0], [1, 0, 0]]", "data.ignore_color=[1, 0, 0]"],
            "have a colour twice",
        ),
        ([*TWO, "data.colors=[[0, 0, 256], [1, 0, 0]]"], "data.colors cannot be"),
        ([*TWO, "loss.class_weights=[1, 2, 3]"], "loss.class_weights has 3 entries for 2 classes"),
        ([*TWO, "loss.class_weights=[1, -2]"], "loss.class_weights cannot be [1, -2]"),
        (["data.min_object_area=5"], "min_object_area is a key of format coco"),
        (["loss.hard_pixel_share=0"], "loss.hard_pixel_share cannot be 0"),
        (["augmentation.min_scale=3"], "min_scale must not be above max_scale"),
        (["evaluation.scales=[]"], "scales needs one factor at least"),
        (["evaluation.scales=[0]"], "evaluation.scales cannot be [0]"),
        (["evaluation.output_stride=4"], "evaluation.output_stride cannot be 4"),
        (["evaluation.window_overlap=1"], "evaluation.window_overlap cannot be 1"),
        (["head.aspp=both"], "one of none, dense, separable"),
        (["head.atrous_rates=[0]"], "head.atrous_rates cannot be [0]"),
        (["head.name=fcn"], "one of deeplabv3, lr_aspp"),
        (["head.name=lr_aspp", "head.aspp=dense"], "lr_aspp has no atrous branches"),
        (["head.low_level_tap=block_5"], "low_level_tap is a key of lr_aspp"),
    ],
)
def test_what_does_not_go_together_is_refused(overrides: list[str], words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_config({"task": "segmentation"}, overrides)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        [*TWO, "data.num_classes=2"],
        ["data.classes=null", "data.num_classes=255"],
        [*TWO, "data.ignore_index=2"],
        [*TWO, "data.colors=[[0, 0, 0], [1, 0, 0]]"],
        [*TWO, "data.colors=[[0, 0, 0], [1, 0, 0]]", "data.ignore_color=[255, 255, 255]"],
        [*TWO, "loss.class_weights=[0, 2.5]"],
        ["loss.class_weights=[1, 2, 3]"],  # the classes may come later
        ["augmentation.min_scale=2", "augmentation.max_scale=2"],
        ["head.norm_momentum=null", "evaluation.output_stride=null"],
        ["head.name=lr_aspp", "head.tap=last", "head.low_level_tap=block_5"],
        ["head.tap=null", "head.channels=null", "backbone.norm_epsilon=null"],
        ["evaluation.scales=[0.5, 1.75]", "evaluation.flip=true"],
    ],
    ids=" ".join,
)
def test_what_goes_together_survives_being_printed(overrides: list[str], tmp_path: Path) -> None:
    config = parse_config({"task": "segmentation"}, overrides)
    text = to_yaml(config)
    assert parse_config(yaml.safe_load(text)) == config
    (tmp_path / "again.yaml").write_text(text, encoding="utf-8")
    assert load_config(tmp_path / "again.yaml") == config


def test_every_key_can_be_put_in_words() -> None:
    for name, section in sections(SegmentationConfig).items():
        assert all(allowed(key_schema(section, key)) for key in section.model_fields), name


def test_printed_keys_stand_under_their_documentation() -> None:
    lines = to_yaml(load_config(FILE)).splitlines()
    place = lines.index("  ignore_index: 255")
    assert lines[place - 1].startswith("  # Mask value of void")
    for number, line in enumerate(lines):
        key = line.strip().partition(":")[0]
        if line.startswith("  ") and not key.startswith("#"):
            assert lines[number - 1].lstrip().startswith("#"), line
