from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from mnv2_dense.ops import confusion
from mnv2_dense.ops.confusion import confusion_matrix


@st.composite
def label_maps(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Predicted and reference maps, void (255) included, and the number of classes."""
    classes = draw(st.integers(1, 7))
    pixels = draw(st.integers(0, 60))
    label = st.integers(0, classes - 1)
    predicted = draw(st.lists(label | st.just(255), min_size=pixels, max_size=pixels))
    reference = draw(st.lists(label | st.just(255), min_size=pixels, max_size=pixels))
    predicted = [p if r == 255 else p % classes for p, r in zip(predicted, reference, strict=True)]
    kind = draw(st.sampled_from([torch.uint8, torch.int32, torch.int64]))
    return torch.tensor(predicted, dtype=kind), torch.tensor(reference).to(torch.uint8), classes


@pytest.mark.parametrize("classes", [2, 21, 255, 1000])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int64, torch.uint16])
def test_every_count_of_classes_and_integer_type(classes: int, dtype: torch.dtype) -> None:
    """Against NumPy, with as many of the classes as the type can hold, and void below them."""
    random, largest = np.random.default_rng(classes), min(classes - 1, torch.iinfo(dtype).max)
    predicted, reference = random.integers(0, largest + 1, (2, 5003))
    void = random.random(5003) < 0.2
    expected = np.zeros((classes, classes), np.int64)
    np.add.at(expected, (reference[~void], predicted[~void]), 1)
    reference[void] = -1
    found = confusion_matrix(
        torch.from_numpy(predicted).to(dtype), torch.from_numpy(reference), classes, -1
    )
    assert (found.numpy() == expected).all()
    assert found.dtype == torch.int64
    # The other way round, as far as one type holds classes and void.
    if torch.iinfo(dtype).min < 0:
        turned = torch.from_numpy(reference).to(dtype)
        found = confusion_matrix(torch.from_numpy(predicted), turned, classes, -1)
        assert (found.numpy() == expected).all()


@given(label_maps())
def test_equals_counting_pixel_by_pixel(case: tuple[torch.Tensor, torch.Tensor, int]) -> None:
    predicted, reference, classes = case
    expected = torch.zeros(classes, classes, dtype=torch.int64)
    for column, row in zip(predicted.tolist(), reference.tolist(), strict=True):
        if row != 255:
            expected[row, column] += 1
    assert torch.equal(confusion_matrix(predicted, reference, classes), expected)


def test_rows_are_true_and_columns_predicted_classes() -> None:
    predicted = torch.tensor([[0, 1, 1], [2, 0, 255]], dtype=torch.uint8)
    reference = torch.tensor([[0, 0, 1], [2, 2, 255]], dtype=torch.uint8)
    by_hand = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 1]])
    matrix = confusion_matrix(predicted, reference, 3)
    assert torch.equal(matrix, by_hand)
    assert matrix.dtype == torch.int64
    swapped = torch.where(predicted == 255, 0, predicted), torch.where(reference == 255, 0, 1)
    assert torch.equal(confusion_matrix(swapped[1], swapped[0], 3), confusion_matrix(*swapped, 3).T)


def test_any_shape_and_layout() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(0, 5, (2, 3, 40, 30), generator=generator, dtype=torch.uint8)
    predicted, reference = maps
    matrix = confusion_matrix(predicted, reference, 5)
    assert matrix.sum() == predicted.numel()
    turned = confusion_matrix(predicted.transpose(1, 2), reference.transpose(1, 2), 5)
    assert torch.equal(turned, matrix)
    assert torch.equal(confusion_matrix(predicted.flatten(), reference.flatten(), 5), matrix)
    one_pixel = confusion_matrix(torch.tensor(1), torch.tensor(0), 2)
    assert one_pixel.tolist() == [[0, 1], [0, 0]]


def test_large_maps_are_counted_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    predicted, reference = torch.randint(0, 4, (2, 1003), generator=generator)
    whole = confusion_matrix(predicted, reference, 4)
    monkeypatch.setattr(confusion, "_CHUNK", 10)
    assert torch.equal(confusion_matrix(predicted, reference, 4), whole)
    for shape in ((17, 59), (1, 59, 17), (1003, 1)):
        turned, true = (maps.view(shape).transpose(-1, -2) for maps in (predicted, reference))
        assert torch.equal(confusion_matrix(turned, true, 4), whole)


class Largest(TorchDispatchMode):
    """Remembers the largest number of values that any operation gave."""

    def __init__(self) -> None:
        super().__init__()
        self.values = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            given = [each for each in args if isinstance(each, torch.Tensor)]
            storages = {each.untyped_storage().data_ptr() for each in given}
            if result.untyped_storage().data_ptr() not in storages:  # A view takes no memory.
                self.values = max(self.values, result.numel())
        return result


@pytest.mark.parametrize("turned", [False, True])
def test_nothing_as_large_as_the_maps_is_made(turned: bool) -> None:
    maps = torch.zeros(1500, 2000, dtype=torch.uint8)
    predicted = maps.T if turned else maps
    with Largest() as largest:
        matrix = confusion_matrix(predicted, predicted, 21)
    assert matrix[0, 0] == maps.numel()
    assert 0 < largest.values <= confusion._CHUNK < maps.numel() / 10


def test_another_void_value_and_256_classes() -> None:
    maps = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(confusion_matrix(maps, maps, 256, -1), torch.eye(256, dtype=torch.int64))
    assert confusion_matrix(maps[:3], maps[:3], 3, ignore_index=1).diag().tolist() == [1, 0, 1]


def test_nothing_to_count() -> None:
    void = torch.full((2, 2), 255, dtype=torch.uint8)
    assert not confusion_matrix(torch.zeros_like(void), void, 3).any()
    assert not confusion_matrix(void[:0], void[:0], 3).any()


@pytest.mark.parametrize(
    ("predicted", "reference", "message"),
    [
        ([3], [0], "predicted holds class 3; allowed are 0 to 2"),
        ([0, 1], [0, 7], "reference holds class 7"),
        ([-1], [0], "predicted holds class -1"),
        ([0], [-100], "reference holds class -100"),
        ([255], [0], "predicted holds class 255"),
        ([2**40], [0], f"predicted holds class {2**40}"),
        ([0], [-(2**40)], f"reference holds class -{2**40}"),
        ([0], [256], "reference holds class 256"),
        ([0, 1], [0], r"predicted has the shape \(2,\), reference \(1,\)"),
        ([0.0], [0], "integers, not torch.float32"),
        ([0], [True], "integers, not torch.bool"),
    ],
)
def test_what_is_no_class_is_refused(
    predicted: list[float], reference: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_matrix(torch.tensor(predicted), torch.tensor(reference), 3)


def test_an_ignore_index_far_from_all_classes_is_refused() -> None:
    maps = torch.zeros(2, dtype=torch.int64)
    assert confusion_matrix(maps, maps - 100, 3, -100).sum() == 0
    with pytest.raises(ValueError, match="ignore_index 1000000: at most 32768 from 0"):
        confusion_matrix(maps, maps, 3, 10**6)
