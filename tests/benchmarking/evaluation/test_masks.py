from pathlib import Path

from mnv2_dense.benchmarking.evaluation.masks import FORWARD, REST, STEP, measure_masks
from tests.benchmarking.evaluation.segmenter import write_segmenter


def test_a_checkpoint_is_measured_beside_random_answers(tmp_path: Path) -> None:
    sections = list(measure_masks(1, write_segmenter(tmp_path)))
    assert [section.title for section in sections] == [
        "Confusion matrix update, a trained network's logits",
        "Confusion matrix update, random logits",
        "Up-sampling and argmax, a trained network's logits",
        "Up-sampling and argmax, random logits",
        "Validation step of a segmenter",
    ]
    for counting in sections[:2]:
        assert len(counting.timings) == 8
        assert [ratio.target for ratio in counting.ratios] == [1.5, None, None, None] * 2
    for labels in sections[2:4]:
        assert [ratio.target for ratio in labels.ratios] == [0.25, None, 0.9999]
        assert labels.ratios[-1].met  # The same pixels, however long they took.
    assert set(sections[4].timings) == {FORWARD, STEP, REST}
    assert "4 pictures of at most 513x513" in sections[4].notes


def test_without_a_checkpoint_random_answers_are_measured() -> None:
    assert [section.title.partition(", ")[2] for section in measure_masks(1)] == [
        *["random logits"] * 2
    ]
