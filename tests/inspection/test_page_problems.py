import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.formats.problems import Level, Problem, errors_at
from mnv2_dense.inspection.page_problems import PICTURE_SIDE, TITLES, UNFOLDED, draw_problems
from mnv2_dense.inspection.report import Example
from mnv2_dense.ops.texts import LISTED
from mnv2_dense.pages.markup import page
from tests.pages.parsing import Page


def draw(problems: list[Problem], examples: list[Example] | None = None) -> Page:
    return Page(page("problems", "", draw_problems(problems, examples or [])))


def notes(kind: str, count: int, level: Level = Level.NOTE) -> list[Problem]:
    return errors_at(kind, f"a.json: {kind} at", range(count), level=level)


def test_a_kind_has_level_count_titles_remedy_and_places() -> None:
    problems = errors_at("missing_picture", "train: missing:", ["a.jpg"], ". download them")
    problems += errors_at("missing_picture", "val: missing:", ["b.jpg", "c.jpg"])
    drawn = draw(problems)
    shown = ["Missing picture", "Error", "3 cases", "train: missing", "What to do:",
             "Download them.", "a.jpg", "val: missing", "b.jpg", "c.jpg"]  # fmt: skip
    assert drawn.texts[-len(shown) :] == shown
    assert drawn.all("article", "level-error")


def test_the_worst_kinds_come_first_then_the_most_frequent() -> None:
    problems = [*notes("few", 1), *notes("many", 9), *notes("bad", 1, Level.ERROR)]
    drawn = draw([*problems, *notes("odd", 2, Level.PROBLEM)])
    kinds = [card["id"] for card in drawn.all("article")]
    assert kinds == ["kind-bad", "kind-odd", "kind-many", "kind-few"]


def test_one_level_needs_no_filter() -> None:
    assert not draw(notes("many", 9)).all("input")
    drawn = draw([*notes("many", 9), *notes("bad", 1, Level.ERROR)])
    buttons = drawn.all("input")
    assert [button["id"] for button in buttons] == ["only-all", "only-error", "only-note"]
    assert ["checked" in button for button in buttons] == [True, False, False]


def test_places_are_folded_and_then_counted() -> None:
    assert not draw(notes("many", LISTED)).all("details")
    drawn = draw(notes("many", 100_000))
    assert len(drawn.all("details")) == 1
    assert len(drawn.all("li")) == UNFOLDED
    assert f"and {100_000 - UNFOLDED:,} more, see report.json" in drawn.texts


def test_a_title_per_file_does_not_grow_the_page() -> None:
    problems = [Problem("bad", Level.ERROR, f"{n}.xml: no object", "") for n in range(5000)]
    drawn = draw(problems)
    assert len(drawn.all("h4")) == TITLES
    assert not drawn.all("li")
    assert f"and {5000 - TITLES:,} more, see report.json" in drawn.texts


def test_pictures_stand_with_their_kind() -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    examples = [Example("rotated", "b.jpg: turned", picture), Example("alone", "c", picture)]
    drawn = draw(notes("rotated", 1), examples)
    assert [card["id"] for card in drawn.all("article")] == ["kind-rotated", "kind-alone"]
    assert drawn.texts.index("b.jpg: turned") < drawn.texts.index("Alone")
    assert drawn.all("img")[0]["alt"] == "b.jpg: turned"


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [(4, 6, (6, 4)), (640, 320, (160, 320)), (1, 20_000, (320, 1)), (20_000, 1, (1, 320))],
)
def test_pictures_are_shrunk_never_enlarged(
    height: int, width: int, shown: tuple[int, int]
) -> None:
    picture = np.full((height, width, 3), (200, 30, 40), np.uint8)
    (image,) = draw([], [Example("odd", "a", picture)]).all("img")
    decoded = decode(image["src"])
    assert decoded.size == shown == (int(image["width"]), int(image["height"]))
    assert max(decoded.size) <= PICTURE_SIDE
    assert np.abs(np.array(decoded, np.int64) - (200, 30, 40)).max() <= 3


def test_photos_are_jpeg_and_masks_png() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    flat = np.zeros((300, 300, 3), np.uint8)
    images = draw([], [Example("odd", "a", noise), Example("odd", "b", flat)]).all("img")
    assert [decode(image["src"]).format for image in images] == ["JPEG", "PNG"]


def decode(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(b64decode(uri.partition("base64,")[2])))
