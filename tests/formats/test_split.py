import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.formats.split import draw_split

NAMES = [f"{number:03}.jpg" for number in range(100)]


def val_names(names: list[str], share: float = 0.2, seed: int = 0) -> set[str]:
    return {names[position] for position in draw_split(names, share, seed)["val"]}


def test_both_parts_together_are_all_pictures_once() -> None:
    split = draw_split(NAMES, 0.2, 0)
    assert len(split["val"]) == 20
    assert sorted(split["train"] + split["val"]) == list(range(100))
    assert split["train"] == sorted(split["train"])
    assert split["val"] == sorted(split["val"])


def test_a_seed_draws_the_same_again_in_any_order() -> None:
    assert val_names(NAMES) == val_names(NAMES[::-1])
    assert val_names(NAMES) != val_names(NAMES, seed=1)


def test_new_pictures_move_few_others() -> None:
    more = [*NAMES, *(f"new{number}.jpg" for number in range(10))]
    moved = (val_names(more) ^ val_names(NAMES)) & set(NAMES)
    assert len(moved) <= 10


def test_a_larger_share_keeps_what_was_drawn() -> None:
    assert val_names(NAMES, 0.1) < val_names(NAMES, 0.3)


@pytest.mark.parametrize(("count", "share", "drawn"), [(2, 0.01, 1), (2, 0.99, 1), (10, 0.25, 2)])
def test_one_picture_at_least_on_either_side(count: int, share: float, drawn: int) -> None:
    assert len(draw_split(NAMES[:count], share, 0)["val"]) == drawn


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures(count: int) -> None:
    with pytest.raises(UserError, match=rf"val_share=0\.2 draws .* there are {count}"):
        draw_split(NAMES[:count], 0.2, 0)


def test_names_of_any_bytes() -> None:
    assert draw_split(["\udcff.jpg", "ü.jpg", "\ud800.jpg"], 0.5, 0)["val"]


def test_names_must_differ() -> None:
    with pytest.raises(ValueError, match="stand twice"):
        draw_split(["a.jpg", "b.jpg", "a.jpg"], 0.5, 0)
