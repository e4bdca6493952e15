from itertools import combinations

import numpy as np
import pytest
import torch

from mnv2_dense.paper.embedding import (
    SpiralNet,
    embed,
    find_lost,
    fit_scale,
    invert,
    make_spiral,
    measure_error,
    random_embedding,
    read_out,
    train,
)

POINTS = make_spiral()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lowest_error(n: int, angles: int) -> float:
    """The least error of any T [n, 2] and any read-out: a search over the directions of T.

    The lengths of its rows do not matter, since a ReLU lets positive factors through.
    """
    points = make_spiral(100).numpy()
    steps = np.arange(angles) * 2 * np.pi / angles
    coordinates = np.maximum(points @ np.stack((np.cos(steps), np.sin(steps))), 0)
    errors = []
    for rows in combinations(range(angles), n):
        y = coordinates[:, rows]
        residual = y @ np.linalg.lstsq(y, points, rcond=None)[0] - points
        errors.append(np.sqrt((residual**2).sum(axis=1).mean()))
    return min(errors)


def test_the_spiral_winds_twice_around_its_start() -> None:
    assert POINTS.shape == (1000, 2)
    assert POINTS.mean(dim=0).abs().max() < 1e-12
    assert POINTS.square().sum(dim=1).mean() == pytest.approx(1)
    offset = (POINTS - POINTS[0]).numpy()
    radius = np.linalg.norm(offset, axis=1)
    assert np.allclose(radius, radius[-1] * np.arange(1000) / 999)
    angle = np.unwrap(np.arctan2(offset[1:, 1], offset[1:, 0]))
    assert angle[-1] - angle[0] == pytest.approx(4 * np.pi * 998 / 999)


def test_errors_of_all_and_nothing() -> None:
    assert measure_error(POINTS, POINTS) == 0
    assert measure_error(torch.zeros_like(POINTS), POINTS) == pytest.approx(1)
    # One point of four is off by (3, 4).
    off = torch.zeros(4, 2)
    off[0] = torch.tensor([3.0, 4.0])
    assert measure_error(off, torch.zeros(4, 2)) == 5 / 2


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_both_ways_back_are_numpys(n: int) -> None:
    embedding = random_embedding(n, seeded(n))
    y = embed(POINTS, embedding)
    points, matrix = POINTS.numpy(), embedding.numpy()
    expected = np.maximum(matrix @ points.T, 0)  # columns, as in the paper
    np.testing.assert_allclose(y.numpy(), expected.T, atol=1e-12)
    back = (np.linalg.pinv(matrix) @ expected).T
    np.testing.assert_allclose(invert(y, embedding).numpy(), back, atol=1e-9)
    best = expected.T @ np.linalg.lstsq(expected.T, points, rcond=None)[0]
    np.testing.assert_allclose(read_out(y, POINTS).numpy(), best, atol=1e-9)


def test_no_other_factor_fits_better() -> None:
    points = random_embedding(50, seeded(0))
    fitted = fit_scale(points, POINTS[:50])
    assert torch.allclose(fitted, points * (fitted[0, 0] / points[0, 0]))
    error = measure_error(fitted, POINTS[:50])
    assert error < min(measure_error(fitted * by, POINTS[:50]) for by in (0.99, 1.01))
    assert fit_scale(3 * POINTS, POINTS).numpy() == pytest.approx(POINTS.numpy())


@pytest.mark.parametrize("n", [100, 1600])
def test_the_pseudo_inverse_tends_to_half_the_points_and_bends_less_and_less(n: int) -> None:
    points = make_spiral(200)
    errors = []
    for seed in range(20):
        embedding = random_embedding(n, seeded(seed))
        errors.append(measure_error(2 * invert(embed(points, embedding), embedding), points))
    # T^T |T x| / n deviates by |x| sqrt((E t^4 + E t^2) / n) = |x| sqrt(4 / n) for normal t.
    assert np.mean(errors) == pytest.approx(2 / n**0.5, rel=0.2)


def test_lost_points_by_hand() -> None:
    identity = torch.eye(2, dtype=torch.float64)
    points = torch.tensor([[1, 2], [1, -1], [1, -5], [-1, -2], [-3, -1]], dtype=torch.float64)
    y = embed(points, identity)
    assert find_lost(y).tolist() == [False, True, True, True, True]
    # They are lost: others look the same.
    assert y[1].equal(y[2])
    assert y[3].equal(y[4])


@pytest.mark.parametrize("n", [2, 3, 5, 15])
def test_what_is_not_lost_follows_from_its_positive_coordinates(n: int) -> None:
    embedding = random_embedding(n, seeded(1))
    y = embed(POINTS, embedding)
    kept = ~find_lost(y)
    assert kept.any()
    for point, values in zip(POINTS[kept].numpy(), y[kept].numpy(), strict=True):
        active = values > 0
        solved = np.linalg.lstsq(embedding.numpy()[active], values[active], rcond=None)[0]
        assert solved == pytest.approx(point, abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, 5, 15])
def test_the_share_of_lost_points_is_that_of_coin_tosses(n: int) -> None:
    shares = np.array(
        [
            find_lost(embed(POINTS, random_embedding(n, seeded(seed)))).double().mean()
            for seed in range(400)
        ]
    )
    # Every coordinate is positive with probability 1/2: none of n, or one of n.
    expected = (n + 1) / 2**n
    assert abs(shares.mean() - expected) <= 4 * shares.std() / len(shares) ** 0.5


def test_two_pairs_of_opposite_rows_lose_nothing() -> None:
    # x = ReLU(x) - ReLU(-x): why a trained network needs only n = 4.
    identity = torch.eye(2, dtype=torch.float64)
    y = embed(POINTS, torch.cat((identity, -identity)))
    assert measure_error(read_out(y, POINTS), POINTS) < 1e-12
    assert not find_lost(y).any()


@pytest.mark.parametrize(("n", "angles"), [(2, 72), (3, 24)])
def test_training_comes_near_the_least_error_that_two_or_three_dimensions_allow(
    n: int, angles: int
) -> None:
    floor = lowest_error(n, angles)
    assert floor > 0.3
    errors = [measure_error(train(POINTS, n, seeded(s))(POINTS), POINTS) for s in range(3)]
    # The search has steps, and the spiral of the search fewer points.
    assert min(errors) == pytest.approx(floor, rel=0.05)
    assert min(errors) > 0.95 * floor


@pytest.mark.parametrize("n", [5, 30])
def test_training_brings_all_back_from_more_dimensions(n: int) -> None:
    untrained = SpiralNet(n, seeded(0))
    assert measure_error(untrained(POINTS), POINTS) > 0.3
    assert measure_error(train(POINTS, n, seeded(0))(POINTS), POINTS) < 0.02


def test_the_network_is_two_maps_without_biases() -> None:
    network = SpiralNet(7, seeded(0))
    shapes = {name: tuple(weight.shape) for name, weight in network.named_parameters()}
    assert shapes == {"embedding.weight": (7, 2), "read_out.weight": (2, 7)}
    y = embed(POINTS, network.embedding.weight)
    assert torch.allclose(network(POINTS), y @ network.read_out.weight.T)


def test_numbers_follow_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (train(POINTS, 4, seeded(seed), steps=5) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    for weight, same, different in zip(
        first.parameters(), again.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(weight, same)
        assert not torch.allclose(weight, different)
        assert not weight.requires_grad
