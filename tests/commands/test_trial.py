import re
from pathlib import Path

import pytest
import torch

from mnv2_dense.builders import build_network
from mnv2_dense.commands.session import quiet_lightning
from mnv2_dense.commands.trial import try_once
from mnv2_dense.config.loader import load_config
from mnv2_dense.ops.count import count_layers, sum_layers
from mnv2_dense.structures import ImageSize
from tests.commands.tiny import CONFIG, segmentation_config_of, tiny_overrides, tree


@pytest.fixture
def text(
    shapes_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    monkeypatch.chdir(tmp_path)
    quiet_lightning()
    try_once(load_config(CONFIG, tiny_overrides(shapes_set, tmp_path / "runs")))
    assert tree(tmp_path) == {}
    return capsys.readouterr().out


def test_counts_are_those_of_the_network(text: str, shapes_set: Path, tmp_path: Path) -> None:
    network = build_network(load_config(CONFIG, tiny_overrides(shapes_set, tmp_path)), 10)
    counted = sum_layers(count_layers(network, ImageSize(64, 64)))
    assert f"parameters       {sum(p.numel() for p in network.parameters()):,}\n" in text
    assert f"multiply-adds    {counted.multiply_adds:,} at 64x64\n" in text


def test_taps_are_told(text: str) -> None:
    # Width 0.35: six times 32 channels, and the last layer, which never shrinks.
    assert "taps             block_13_expansion 192 at stride 16, last 1280 at stride 16\n" in text


def test_one_batch_of_each_kind_with_its_time(text: str) -> None:
    step = r"images 4x3x64x64 torch\.uint8, {}, \d+\.\d\d s\n"
    assert re.search("training batch   " + step.format(r"\d+ boxes, loss \d+\.\d{4}"), text)
    assert re.search("validation batch   " + step.format("decoded"), text)
    assert len(re.findall("training batch", text)) == 1


def test_memory_is_that_of_this_process(text: str) -> None:
    found = re.search(r"memory           (\d+\.\d\d) GiB", text)
    assert found is not None
    assert torch.cuda.is_available() or 0.1 < float(found[1]) < 64


def test_a_segmenters_batches_are_told_in_its_own_words(
    shapes_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    quiet_lightning()
    # The scaled pictures are smaller than the crop, so there is void.
    options = ["augmentation.min_scale=0.5", "augmentation.max_scale=0.5"]
    try_once(segmentation_config_of(shapes_set, *options))
    assert tree(tmp_path) == {}
    text = capsys.readouterr().out
    assert "taps             block_16 112 at stride 16\n" in text
    assert "training set     12 images\nvalidation set   6 images\n" in text
    step = r"images 4x3x{0}x{0} torch\.uint8, {1}, \d+\.\d\d s\n"
    assert re.search("training batch   " + step.format(65, r"76% void, loss \d+\.\d{4}"), text)
    assert re.search("validation batch   " + step.format(64, "decoded"), text)
