from pathlib import Path

import cv2

from mnv2_dense.benchmarking import cache
from mnv2_dense.benchmarking.cache import measure_cache
from mnv2_dense.caching.sizing import Sizing
from mnv2_dense.structures import SampleKey
from tests.commands.tiny import SIZE, WINDOW, config_of, segmentation_config_of


def test_each_set_is_timed_from_originals_and_caches(shapes_set: Path) -> None:
    threads = cv2.getNumThreads()
    half = Sizing("longer", SIZE // 2)
    configs = [config_of(shapes_set), segmentation_config_of(shapes_set)]
    for config, own, section in zip(
        configs, (SIZE, WINDOW), measure_cache(configs, [half], 1), strict=True
    ):
        names = [f"shorter side at most {own}", str(half)]
        assert list(section.timings) == ["originals", *names]
        assert [ratio.target for ratio in section.ratios] == [2.0, None]
        assert {ratio.direction for ratio in section.ratios} == {"at least"}
        expected = section.timings["originals"].median / section.timings[names[0]].median
        assert section.ratios[0].value == expected
        assert section.title == f"cache of {config.name}: 64 samples"
        assert f"{half}, quality 90: " in section.notes[2]
    assert cv2.getNumThreads() == threads


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
