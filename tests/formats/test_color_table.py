import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnv2_dense.errors import UserError
from mnv2_dense.formats.color_table import ColorTable, find_table, read_table

SKY_AND_ROAD = ColorTable(("sky", "road"), ((128, 128, 128), (128, 64, 128)))


def table(folder: Path, text: str, name: str = "table.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


SPOILT = st.sampled_from(
    [
        *(',;:\t\n\r"#\0\x1b\u2028 1'),
        "255,",
        "::",
        "name",
        "id",
        "__ignore__",
        "void",
        "1 2 3",
        "9" * 99,
    ]
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        ["cat:1,2,3::\ndog:4,5,6::\n", "id,name,r,g,b\n0,cat,1,2,3\n1,dog,4,5,6\n", "a\nb\n"]
    ),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9), SPOILT), max_size=5),
)
def test_spoilt_tables_are_read_or_refused(
    tmp_path: Path, text: str, changes: list[tuple[int, int, str]]
) -> None:
    for start, length, spoilt in changes:
        text = text[:start] + spoilt + text[start + length :]
    message = ""
    try:
        names = read_table(table(tmp_path, text)).names
    except UserError as error:
        message = str(error)
    else:
        assert len(set(names)) == len(names) >= 2
    assert message.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"{number:x}\n" for number in range(0x8000, 0xC000)),
        "a\n" + "1" * 99_000,
        "a\n" + "1 " * 49_000,
        "a\n1" + " " * 90_000,
        "a,1,2,3\n" + "b," * 49_000,
        "a:1,2,3\n" + ":" * 99_000,
        "name,r,g,b\n" + "," * 99_000,
        "name," + ",".join(f"x{number}" for number in range(15_000)) + ",class\na\nb",
        "é" * 50_001,
    ],
)
def test_hostile_tables_are_soon_refused_or_read(tmp_path: Path, text: str) -> None:
    started = time.process_time()
    message = ""
    try:
        read_table(table(tmp_path, text))
    except UserError as error:
        message = str(error)
    assert len(message) < 500
    assert time.process_time() - started < 3


def test_a_table_cut_in_the_middle_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="more than 100,000 bytes"):
        read_table(table(tmp_path, "ab\n" + "é" * 60_000))


def test_pipes_are_no_tables(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.csv")
    assert find_table(tmp_path) is None
    with pytest.raises(UserError, match="pipe"):
        read_table(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nsky:128,128,128::\nroad:128,64,128:a,b:c\n",
        ),
        ("class_dict.csv", "name,r,g,b\nsky,128,128,128\nroad, 128, 64, 128\n"),
        ("plain.csv", '\ufeff"sky",128,128,128\r\n\r\nroad,128,64,128,extra\r\n'),
    ],
)
def test_names_and_colours(tmp_path: Path, name: str, text: str) -> None:
    assert read_table(table(tmp_path, text, name)) == SKY_AND_ROAD


@pytest.mark.parametrize(
    "text",
    [
        "id,name,r,g,b\n0,sky,128,128,128\n1,road,128,64,128\n",
        "name;r;g;b\nsky;128;128;128\nroad;128;64;128\n",
        "name\tred\tgreen\tblue\nsky\t128\t128\t128\nroad\t128\t64\t128\n",
        "Blue,Green,Red,Class Name\n128,128,128,sky\n128,64,128,road\n",
        "r,g,b,label_id,Label\n128,64,128,1,road\n128,128,128,0,sky\n",
        "class,name,r,g,b\n1,road,128,64,128\n0,sky,128,128,128\n",
        "sky;128;128;128\nroad;128;64;128\n",
    ],
)
def test_columns_in_any_order(tmp_path: Path, text: str) -> None:
    assert read_table(table(tmp_path, text)) == SKY_AND_ROAD


@pytest.mark.parametrize(
    "text",
    ["name\nsky\nroad\n", "Class\nsky\nroad", "sky\nroad\n", " Pixel Value, Class\n1,road\n0, sky"],
)
def test_headers_are_no_classes(tmp_path: Path, text: str) -> None:
    assert read_table(table(tmp_path, text)) == ColorTable(("sky", "road"), None)


def test_the_id_255_is_void(tmp_path: Path) -> None:
    text = "id,name,r,g,b\n255,void,1,1,1\n0,sky,128,128,128\n1,road,128,64,128\n"
    found = read_table(table(tmp_path, text))
    assert found == ColorTable(*SKY_AND_ROAD[:2], void=(1, 1, 1))
    assert found.split_void() == (found, (1, 1, 1))


def test_names_alone(tmp_path: Path) -> None:
    """As labelme writes them: its first line is void, its second the background."""
    text = "__ignore__\n_background_\naeroplane\ntraffic light\n"
    found = read_table(table(tmp_path, text))
    assert found == ColorTable(("background", "aeroplane", "traffic light"), None)


def test_void_is_no_class_of_colours() -> None:
    whole = ColorTable(("a", "Void", "b"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
    assert whole.split_void() == (ColorTable(("a", "b"), ((0, 0, 0), (2, 2, 2))), (1, 1, 1))
    assert SKY_AND_ROAD.split_void() == (SKY_AND_ROAD, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sky:128,128,300::\nroad:1,2,3::\n", r"128,128,300 is no colour"),
        ("sky,1,2,3\nroad,1,2,3\n", r"colours that several lines have: \(1, 2, 3\)"),
        ("sky\nroad\nsky\n", "names that several lines have: sky"),
        ("sky,1,2,3\nroad\n", "line 2: 'road' is no name,r,g,b"),
        ("# a\nsky\nroad,1,2,3\n", "line 3: 'road,1,2,3' is no name alone"),
        ("sky\n128 64 128 road\n", "line 2: '128 64 128 road' is no name alone"),
        ("1 wall\n2 floor\n", "numbers before the names"),
        ("sky:1,2,3::\nroad\n", "line 2: 'road' is no name:r,g,b"),
        ("0,sky,1,2,3\n1,road,4,5,6\n", "line 1: '0,sky,1,2,3' is no name,r,g,b"),
        ("0,1,2,3\n1,4,5,6\n", "line 1: '0,1,2,3' is no name,r,g,b"),
        ("128,128,128,sky\n", "line 1: '128,128,128,sky' is no name,r,g,b"),
        ("image,score\na.png,0.5\n", "line 1: 'image,score' is no name,r,g,b"),
        ("name,r,g,b\nsky,1,2\n", "line 2: 'sky,1,2' lacks columns"),
        ("name,r,g\nsky,1,2\n", "all of r, g and b"),
        ("name,r,r,b\nsky,1,2,3\n", "column twice"),
        ("class,label,r,g,b\nsky,x,1,2,3\n", "several columns could be the names"),
        ("id,trainId,name\n0,0,sky\n", "several columns could be the ids"),
        ("id,name\n0,sky\nx,road\n", "line 3: the id 'x' is no whole number"),
        ("id,name\n0,sky\n0,road\n", "ids that several lines have: 0"),
        ("id,name\n1,sky\n3,road\n", "count from 0 up, but no line has 0, 2"),
        ('name,r,g,b\n"sky,1,2,3\nroad,4,5,6\n', "quotation mark"),
        ("", "not a table of classes"),
        ("sky\n" * 30_000, "more than 100,000 bytes"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=rf"table\.txt.*{words}"):
        read_table(table(tmp_path, text))


def test_other_files_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"table\.csv: cannot be read as a table"):
        read_table(tmp_path / "table.csv")


def test_the_table_of_a_folder(tmp_path: Path) -> None:
    assert find_table(tmp_path) is None
    table(tmp_path, "image,score\na.png,0.5\n", "results.csv")
    assert find_table(tmp_path) is None
    own = table(tmp_path, "sky,1,2,3\nroad,4,5,6\n", "my_colors.csv")
    assert find_table(tmp_path) == own
    table(tmp_path, "sky,1,2,3\nroad,4,5,6\n", "other.csv")
    with pytest.raises(UserError, match=r"several.*my_colors\.csv, other\.csv.*data\.color_table"):
        find_table(tmp_path)
    assert find_table(table(tmp_path, "sky\nroad\n", "classes.txt").parent) == (
        tmp_path / "classes.txt"
    )
