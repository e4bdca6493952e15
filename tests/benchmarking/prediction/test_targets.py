from dataclasses import replace
from unittest.mock import ANY

import pytest

from mnv2_dense.benchmarking.interleaving import Timing
from mnv2_dense.benchmarking.prediction.folder import ONE_BY_ONE, ONE_THREAD, WHOLE
from mnv2_dense.benchmarking.prediction.rows import ALONE, EAGER, FOLDED, TFLITE, inside, whole
from mnv2_dense.benchmarking.prediction.targets import (
    best_engine,
    detector_ratios,
    folder_ratios,
    segmenter_ratios,
)


def timings_of(**milliseconds: float) -> dict[str, Timing]:
    return {name: Timing((value / 2000, value / 1000, 1.0)) for name, value in milliseconds.items()}


DETECTION = timings_of(
    **{
        **{
            whole("torch", 0.3): 40,
            whole("onnx", 0.3): 20,
            inside(0.3): 19,
            "torchvision, 0.3": 60,
        },
        **{whole("torch", 0.01): 20, whole("onnx", 0.01): 25, inside(0.01): 24},
        **{"torchvision, 0.01": 100, ALONE: 18, EAGER: 50, FOLDED: 30},
    }
)


def test_the_best_engine_is_compared() -> None:
    assert best_engine(DETECTION, 0.3, ["torch", "onnx"]) == "onnx"
    assert best_engine(DETECTION, 0.01, ["torch", "onnx"]) == "torch"


def test_detection_beside_its_targets() -> None:
    ratios = detector_ratios(DETECTION, ["torch", "onnx"], threads=2)
    found = [(round(each.value, 4), each.target, each.met) for each in ratios]
    assert found == [
        (0.3333, 0.40, True),
        (1.1111, 1.25, True),
        (0.05, 0.10, True),  # (19 - 18) / 20
        (0.2, 0.40, True),
        (1.1111, 1.25, True),
        (0.24, 0.25, True),  # (24 - 18) / 25
        (0.6, 0.70, True),
    ]
    assert detector_ratios(DETECTION, ["torch", "onnx"], threads=1)[0].target == 0.45


def test_without_onnx_runtime_its_lines_are_left_out() -> None:
    some = {name: each for name, each in DETECTION.items() if "ONNX" not in name}
    assert [each.target for each in detector_ratios(some, ["torch"], 2)] == [0.40, 0.40, 0.70]


def test_segmentation_beside_its_targets() -> None:
    timings = timings_of(
        **{
            **{
                whole("onnx", "5x4"): 80,
                whole("int8.onnx", "5x4"): 60,
                "torchvision, 5x4": 200,
                "torchvision by max(1), 5x4": 160,
            },
            **{
                whole("onnx", "9x8"): 90,
                whole("int8.onnx", "9x8"): 95,
                "torchvision, 9x8": 300,
                "torchvision by max(1), 9x8": 180,
            },
            **{ALONE: 70, TFLITE: 75, EAGER: 100, FOLDED: 80},
        }
    )
    ratios = segmenter_ratios(timings, ["onnx"], ["int8.onnx"], ("5x4", "9x8"))
    asked = [(round(each.value, 3), each.target, each.met) for each in ratios if each.target]
    assert asked == [
        (0.4, 0.35, False),
        (0.8, 1.0, True),  # 60 / 75: its file is in 8 bits, too
        (1.143, 1.25, True),
        (0.8, 0.7, False),
    ]
    assert [each.met for each in ratios if "9x8" in each.name] == [None] * 4


@pytest.mark.parametrize(("folder", "met"), [(500, True), (700, False)])
def test_a_folder_is_to_be_faster(folder: float, met: bool) -> None:
    timings = timings_of(**{ONE_BY_ONE: 1000, WHOLE: folder, ONE_THREAD: 800})
    ratio, most = folder_ratios(timings, "onnx", threads=2)
    assert ratio.value == pytest.approx(1000 / folder)
    assert ratio.met is met
    assert folder_ratios(timings, "onnx", threads=1)[0].met is None
    assert most.value == pytest.approx(2.5)  # each of two threads does half of the 800
    del timings[ONE_THREAD]
    assert folder_ratios(timings, "torch", threads=2) == [replace(ratio, name=ANY)]


def test_ratios_are_those_of_medians_and_of_the_fastest() -> None:
    timings = {EAGER: Timing((4.0, 1.0, 100.0)), FOLDED: Timing((2.0, 0.5, 3.0))}
    timings |= {whole("torch", 0.3): Timing((1.0,)), whole("torch", 0.01): Timing((1.0,))}
    timings |= {"torchvision, 0.3": Timing((1.0,)), "torchvision, 0.01": Timing((1.0,))}
    ratio = detector_ratios(timings, ["torch"], 2)[-1]
    assert (ratio.value, ratio.best) == (2.0 / 4.0, 0.5 / 1.0)


def test_a_single_size_of_pictures_is_asked_for() -> None:
    names = (whole("torch", "5x4"), "torchvision, 5x4", "torchvision by max(1), 5x4")
    timings = timings_of(**dict.fromkeys((*names, EAGER, FOLDED), 1.0))
    ratios = segmenter_ratios(timings, ["torch"], [], ["5x4"])
    assert [each.target for each in ratios] == [0.35, None, 0.70]
