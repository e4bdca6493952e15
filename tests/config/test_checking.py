import pytest

from mnv2_dense.config.checking import Given, build
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.errors import UserError


def test_set_opens_sections_and_notes_the_origin() -> None:
    given = Given("x.yaml", {"training": None})
    given.set(("training", "epochs"), 3, "override 1")
    given.set(("data", "root"), "d", "override 2")
    assert given.values == {"training": {"epochs": 3}, "data": {"root": "d"}}
    assert given.origins[("training", "epochs")] == "override 1"


def test_a_mistake_is_placed_at_the_nearest_known_key() -> None:
    given = Given("x.yaml", origins={("anchors",): "x.yaml:4"})
    given.add_error(("anchors", "min_scale"), "first")
    given.add_error(("loss",), "second")
    assert given.errors == ["x.yaml:4: first", "x.yaml: second"]


def test_one_mistake_stands_on_one_line() -> None:
    with pytest.raises(UserError, match=r"^x\.yaml: override 1: wrong$"):
        Given("x.yaml", errors=["override 1: wrong"]).raise_errors()


def test_a_list_with_several_wrong_items_is_one_mistake() -> None:
    with pytest.raises(UserError) as caught:
        build(DetectionConfig, Given("x.yaml", {"input": {"mean": ["a", "b", [1]]}}))
    assert str(caught.value) == (
        'x.yaml: input.mean cannot be ["a", "b", [1]]; allowed: a list of 3 values, each a number'
    )


def test_a_union_is_one_mistake() -> None:
    with pytest.raises(UserError) as caught:
        build(DetectionConfig, Given("x.yaml", {"training": {"devices": 0}}))
    assert str(caught.value) == (
        "x.yaml: training.devices cannot be 0; allowed: a whole number of at least 1 or auto"
    )


def test_long_values_are_cut() -> None:
    with pytest.raises(UserError) as caught:
        build(DetectionConfig, Given("x.yaml", {"training": {"epochs": "x" * 500}}))
    assert "..." in str(caught.value)
    assert len(str(caught.value)) < 200
