import pytest

from mnv2_dense.config.overrides import OverrideError, check_path, read_value, split_override
from mnv2_dense.config.schema import DetectionConfig


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training.epochs=3", (("training", "epochs"), "3")),
        ("name=a=b", (("name",), "a=b")),
        ("data.root= /a b ", (("data", "root"), "/a b")),
    ],
)
def test_split_at_the_first_equals_sign(text: str, expected: tuple[tuple[str, ...], str]) -> None:
    assert split_override(text) == expected


@pytest.mark.parametrize("text", ["training.epochs", "=3", "training.=3", "a..b=3", ""])
def test_incomplete_overrides_are_refused(text: str) -> None:
    with pytest.raises(OverrideError, match=r"key\.path=value"):
        split_override(text)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("training", "training is a section; set one of its keys: epochs, "),
        ("training.epochs.x", "training.epochs holds a value"),
        ("name.x", "name holds a value"),
        ("trainng.epochs", "did you mean training?"),
        ("training.epoch", "did you mean training.epochs?"),
        ("batch_size", "did you mean data.batch_size?"),
        ("training.zzz", "allowed here: epochs, "),
    ],
)
def test_paths_that_hold_no_value_are_refused(path: str, words: str) -> None:
    with pytest.raises(OverrideError) as caught:
        check_path(DetectionConfig, tuple(path.split(".")))
    assert words in str(caught.value)


def test_known_paths_pass() -> None:
    check_path(DetectionConfig, ("name",))
    check_path(DetectionConfig, ("training", "epochs"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("true", True),
        ("null", None),
        ("", None),
        ("[1, 2.5]", [1, 2.5]),
        ("'5'", "5"),
        ("/data/a: b #c", "/data/a: b #c"),
        ("*.jpg", "*.jpg"),
    ],
)
def test_values(text: str, value: object) -> None:
    assert read_value(text) == value


@pytest.mark.parametrize("text", ["[1, 2", "'open", "{a: *b}"])
def test_incomplete_values_are_refused(text: str) -> None:
    with pytest.raises(OverrideError):
        read_value(text)
