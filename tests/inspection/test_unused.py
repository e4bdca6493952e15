from pathlib import Path

import pytest

from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.inspection.findings import Finding
from mnv2_dense.inspection.unused import unused_findings, without_told
from tests.inspection.data_set import save_picture


def test_hidden_and_used_files_are_not_unused(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", ".c.png"):
        save_picture(tmp_path / name, 1)
    (tmp_path / "notes.txt").write_text("")
    found = unused_findings([tmp_path, tmp_path], [tmp_path / "a.png"], listed=False)
    assert [each.problem.place for each in found] == ["b.png"]


@pytest.mark.parametrize(
    "place",
    [
        "sub/a (1).jpg",
        "sub/a (1).xml",
        "sub/a (1).xml (it is no XML: line 3)",
        "/data/sub/a (1).jpg: not an image",
    ],
)
def test_pictures_that_a_reader_has_told_of_are_not_unused(place: str) -> None:
    def unused(name: str) -> Finding:
        return Finding(Problem("unused_picture", Level.PROBLEM, "", name), (Path("/data", name),))

    told = Problem("bad", Level.ERROR, "data: bad:", place)
    found = without_told(
        [unused("sub/a (1).jpg"), unused("sub/a.jpg"), unused("a (1).jpg")], [told]
    )
    assert [each.problem.place for each in found] == ["sub/a.jpg", "a (1).jpg"]
