from importlib.metadata import version
from pathlib import Path

import pytest

from mnv2_dense.shapes.dataset import generate
from tools.compare.product import RECIPES
from tools.compare.segmentation_side import shapes
from tools.compare.sources import SMP, Sources, add_library, describe_sources, list_differences

RECIPE = RECIPES / "segmentation.yaml"


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    generate(tmp_path / "shapes", train_images=2, val_images=1, size=64)
    return tmp_path / "shapes"


def changed(before: Sources, after: Sources) -> list[str]:
    return [name for name in before if before[name] != after[name]]


def test_every_source_changes_its_own_entry(scenes: Path, tmp_path: Path) -> None:
    weights, recipe = tmp_path / "w.ckpt", tmp_path / "recipe.yaml"
    weights.write_bytes(b"one")
    recipe.write_text(RECIPE.read_text() + "# other\n")
    places = shapes(scenes)
    before = describe_sources(RECIPE, places, weights)
    assert before["torch"] == version("torch")
    assert changed(before, describe_sources(recipe, places, weights)) == ["recipe file"]
    assert changed(before, describe_sources(RECIPE, places, None)) == ["weights"]
    weights.write_bytes(b"two")
    assert changed(before, describe_sources(RECIPE, places, weights)) == ["weights"]


def test_other_pictures_are_other_data_wherever_they_lie(scenes: Path, tmp_path: Path) -> None:
    before = describe_sources(RECIPE, shapes(scenes), None)
    moved = scenes.rename(tmp_path / "moved")
    assert describe_sources(RECIPE, shapes(moved), None) == before
    picture = next((moved / "val2017").iterdir())
    picture.write_bytes(picture.read_bytes() + b" ")
    assert changed(before, describe_sources(RECIPE, shapes(moved), None)) == ["validation data"]


def test_a_library_counts_for_its_own_networks_alone() -> None:
    assert add_library({}, "light") == add_library({}, "torchvision_ssd_mobilenet_v2") == {}
    assert set(add_library({}, "smp_deeplabv3_mobilenet_v2")) == {SMP}


def test_only_what_both_name_is_compared() -> None:
    assert list_differences({"a": "1", "b": "2"}, {"b": "2", "c": "3"}) == []
    assert list_differences({"a": "1"}, {"a": "2"}) == ["a 1, not 2"]
