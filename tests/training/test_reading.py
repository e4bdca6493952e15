import torch

from mnv2_dense.training.reading import Reading


def test_the_numbers_are_those_of_the_moment() -> None:
    numbers = torch.tensor([1.5, 2.5], requires_grad=True)
    reading = Reading(numbers)
    with torch.no_grad():
        numbers += 1
    assert reading.values().tolist() == [1.5, 2.5]
    assert not reading.values().requires_grad
