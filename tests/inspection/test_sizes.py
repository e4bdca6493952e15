from pathlib import Path

import pytest

from mnv2_dense.formats.problems import Level
from mnv2_dense.inspection.pictures import PictureFacts
from mnv2_dense.inspection.sizes import size_problem_of
from mnv2_dense.structures import ImageSize

WIDE, HIGH = ImageSize(30, 40), ImageSize(40, 30)


@pytest.mark.parametrize(
    ("orientation", "annotated", "upright", "kind"),
    [
        (1, WIDE, False, None),
        (1, WIDE, True, None),
        (1, HIGH, False, "wrong_size"),
        (6, WIDE, False, "exif_rotation"),
        (6, HIGH, False, "turned_picture"),
        (6, HIGH, True, "exif_rotation"),
        (6, WIDE, True, "turned_picture"),
        (6, ImageSize(30, 41), False, "wrong_size"),
        (3, WIDE, False, "exif_unknown"),
        (3, WIDE, True, "exif_unknown"),
    ],
)
def test_sizes(orientation: int, annotated: ImageSize, upright: bool, kind: str | None) -> None:
    facts = PictureFacts(Path("a.jpg"), size=WIDE, orientation=orientation)
    problem = size_problem_of(
        facts, annotated, "a.jpg", "annotated", upright=upright, level=Level.ERROR
    )
    assert (problem and problem.kind) == kind
    if problem is not None:
        assert problem.place.startswith("a.jpg (")
        assert problem.level == (Level.NOTE if problem.kind.startswith("exif") else Level.ERROR)


def test_the_remedy_names_the_orientation_that_fits() -> None:
    facts = PictureFacts(Path("a.jpg"), size=WIDE, orientation=8)
    for upright, wanted in ((False, "upright"), (True, "stored")):
        annotated = HIGH if not upright else WIDE
        problem = size_problem_of(
            facts, annotated, "a", "annotated", upright=upright, level=Level.ERROR
        )
        assert problem is not None
        assert f"data.orientation={wanted}" in problem.remedy
