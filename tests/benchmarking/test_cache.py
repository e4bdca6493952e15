from pathlib import Path

import cv2
import pytest
import torch

from mnv2_dense.benchmarking import cache
from mnv2_dense.benchmarking.cache import measure_cache
from mnv2_dense.builders import parts
from mnv2_dense.caching.sizing import Sizing
from mnv2_dense.structures import SampleKey
from tests.commands.tiny import SIZE, WINDOW, config_of, segmentation_config_of


def test_each_set_is_timed_from_originals_and_caches(
    shapes_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(parts, "on_gpus")  # The machine is not asked.
    threads = cv2.getNumThreads()
    half = Sizing("longer", SIZE // 2)
    coloured = config_of(shapes_set, "augmentation.photometric=0.5")
    configs = [coloured, segmentation_config_of(shapes_set)]
    ends = (["", ", colours left to the device"], [""])
    for config, own, rows, section in zip(
        configs, (SIZE, WINDOW), ends, measure_cache(configs, [half], 1), strict=True
    ):
        names = [f"shorter side at most {own}", str(half)]
        calls = ["originals", *names]
        assert list(section.timings) == [name + end for name in calls for end in rows]
        assert [ratio.target for ratio in section.ratios] == [2.0, None] * len(rows)
        assert [ratio.calls for ratio in section.ratios] == [
            (f"originals{end}", name + end) for end in rows for name in names
        ]
        assert {ratio.direction for ratio in section.ratios} == {"at least"}
        expected = section.timings["originals"].median / section.timings[names[0]].median
        assert section.ratios[0].value == expected
        assert section.title == f"cache of {config.name}: 64 samples"
        assert f"{half}, quality 90: " in section.notes[2]
    assert cv2.getNumThreads() == threads


def test_colours_are_where_the_rows_say(shapes_set: Path) -> None:
    config = config_of(shapes_set, "augmentation.photometric=1.0", "training.photometric_on=device")
    sets = cache._sets("originals", config, cache._colours(config))
    worker, left = (each[SampleKey(0, 0)] for each in sets.values())
    assert worker.distortion is None
    assert left.distortion is not None
    assert not torch.equal(worker.image, left.image)


def test_calls_go_on_through_the_epochs() -> None:
    class Samples:
        def __init__(self) -> None:
            self.keys: list[SampleKey] = []

        def __len__(self) -> int:
            return 100

        def __getitem__(self, key: SampleKey) -> None:
            self.keys.append(key)

    samples = Samples()
    call = cache._Call(samples)
    call()
    call()
    assert len(samples.keys) == 2 * cache.SAMPLES
    assert samples.keys[99:101] == [SampleKey(99, 0), SampleKey(0, 1)]
