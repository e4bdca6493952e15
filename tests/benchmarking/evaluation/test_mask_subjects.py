from pathlib import Path

import pytest
import torch

from mnv2_dense.benchmarking.evaluation.mask_subjects import (
    BATCH,
    WINDOW,
    Replayed,
    open_trained,
    random_answers,
)
from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.structures import IGNORE_INDEX
from tests.benchmarking.evaluation.segmenter import write_segmenter


def test_random_answers_are_the_same_in_every_run() -> None:
    one, other = random_answers(), random_answers()
    assert torch.equal(one.logits, other.logits)
    assert torch.equal(one.reference, other.reference)
    assert one.reference.shape == WINDOW
    assert one.reference.unique().tolist() == [*range(21), IGNORE_INDEX]
    # Nearly every gap between four cells has several best classes.
    best = one.logits[0].argmax(0)
    assert ((best[1:] != best[:-1]).float().mean()) > 0.9


def test_a_checkpoint_with_pictures_of_its_data(tmp_path: Path) -> None:
    trained = open_trained(write_segmenter(tmp_path))
    assert trained.images.shape == (BATCH, 3, *WINDOW)
    assert trained.outputs.class_logits.shape == (BATCH, 3, 33, 33)
    answers = trained.answers()
    height, width = trained.batch.original_sizes[0]
    assert torch.equal(
        answers.reference[:height, :width], trained.batch.label_maps[0, :height, :width]
    )
    assert (answers.reference[height:] == IGNORE_INDEX).all()
    assert (answers.reference[:, width:] == IGNORE_INDEX).all()
    assert torch.equal(answers.logits, trained.outputs.class_logits[:1])


@pytest.mark.parametrize(
    "override", ["evaluation.flip=true", "evaluation.scales=[0.5, 1.0]", "input.width=257"]
)
def test_other_evaluations_are_refused(tmp_path: Path, override: str) -> None:
    path = write_segmenter(tmp_path)
    with pytest.raises(UserError, match="513x513, one"):
        open_trained(path, [override])


def test_a_replayed_network_answers_the_same_to_everything() -> None:
    outputs = SegmenterOutputs(torch.ones(1, 2, 3, 3))
    assert Replayed(outputs)(torch.zeros(5, 3, 9, 9)) is outputs
