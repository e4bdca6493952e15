from pathlib import Path

from mnv2_dense.inspection.duplicates import Use, duplicate_findings
from mnv2_dense.inspection.pictures import PictureFacts


def use(split: str, name: str, pixels: bytes, content: bytes = b"", fault: str = "") -> Use:
    facts = PictureFacts(Path(name), fault, pixels_hash=pixels, bytes_hash=content or name.encode())
    return Use(split, name, facts)


def test_groups_within_and_across_splits() -> None:
    uses = [
        use("train", "a", b"1", b"x"),
        use("train", "b", b"1", b"x"),
        use("train", "c", b"2"),
        use("train", "d", b"3"),
        use("val", "e", b"3"),
        use("val", "f", b"4"),
    ]
    found = [each.problem for each in duplicate_findings(uses)]
    assert [(each.kind, each.place) for each in found] == [
        ("duplicate_picture", "train a = train b (equal files)"),
        ("leaked_picture", "train d = val e (equal pixels, other file)"),
    ]


def test_a_group_of_three_in_both_splits_is_one_leak() -> None:
    uses = [use("train", "a", b"1"), use("train", "b", b"1"), use("val", "c", b"1")]
    (found,) = duplicate_findings(uses)
    assert found.problem.kind == "leaked_picture"
    assert found.problem.place.startswith("train a = train b = val c")
    assert len(found.pictures) == 2


def test_the_same_file_in_both_splits_is_a_leak() -> None:
    (found,) = duplicate_findings([use("train", "a", b"1"), use("val", "a", b"1")])
    assert found.problem.place == "train a = val a (one file, named twice)"


def test_unreadable_pictures_are_no_duplicates() -> None:
    bad = [use("train", name, b"", fault="unreadable_picture") for name in "ab"]
    assert duplicate_findings(bad) == []
