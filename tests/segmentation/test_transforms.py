import time
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv2_dense.segmentation.transforms import EvalTransform, ScaleAndCrop, TrainTransform
from mnv2_dense.structures import ImageSize

SIZE = ImageSize(96, 128)
MEAN = (123.675, 116.28, 103.53)
FILL = (124, 116, 104)
STEPS = [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]


def train(size: ImageSize = SIZE, /, **changes: float) -> TrainTransform:
    """The training transform with scale 1 and every step off but those given."""
    steps = {"min_scale": 1.0, "max_scale": 1.0, "scale_step": 0.25, "horizontal_flip": 0.0}
    return TrainTransform(size, MEAN, **{**steps, "photometric": 0.0, **changes})


def noise(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, generator.integers(0, 21, (height, width), dtype=np.uint8)


def ramps(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture whose red is twice the column and green twice the row; labels are the column."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([2 * columns, 2 * rows, np.zeros_like(rows)], axis=2).astype(np.uint8)
    return image, columns.astype(np.uint8)


def scale_of(image: np.ndarray, label_map: np.ndarray) -> float:
    """The factor that `ramps` were scaled by; negative if they were flipped."""
    row = int((label_map != 255).sum(axis=1).argmax())
    columns = np.flatnonzero(label_map[row] != 255)[2:-2]  # Edges are repeated, not on the ramp.
    return float(2 / np.polyfit(columns, image[row, columns, 0].astype(float), 1)[0])


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize("scale", [*STEPS, 0.37, 1.618])
def test_picture_and_label_map_stay_aligned(scale: float, flip: float) -> None:
    transform = train(min_scale=scale, max_scale=scale, horizontal_flip=flip)
    for seed in range(10):
        image, label_map = transform(*ramps(100, 120), seed=seed)
        known = label_map != 255
        assert image.shape == (*SIZE, 3)
        assert label_map.shape == SIZE
        # The nearest column is at most half a pixel from the interpolated one, and on average near
        # none, but at scale 0.5 always half: every place lies between two columns. OpenCV may cut
        # off what is less than a level, here half a column.
        columns = image[..., 0].astype(float) / 2
        assert np.abs(columns - label_map)[known].max() <= 1.01
        assert abs((columns - label_map)[known].mean()) < (0.51 if scale == 0.5 else 0.26)
        assert (image[~known] == FILL).all()
        assert scale_of(image, label_map) * (-1 if flip else 1) == pytest.approx(scale, rel=0.02)


@pytest.mark.parametrize("scale", [*STEPS, 0.1, 0.37, 3.3])
def test_a_scale_equals_opencvs_resize(scale: float) -> None:
    image, label_map = noise(101, 77)
    size = ImageSize(round(101 * scale), round(77 * scale))
    result = train(size, min_scale=scale, max_scale=scale)(image, label_map, seed=0)
    expected = cv2.resize(image, size[::-1])
    np.testing.assert_array_equal(result[0], expected)
    nearest = cv2.resize(label_map, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    np.testing.assert_array_equal(result[1], nearest)


def place_of(small: np.ndarray, large: np.ndarray) -> list[tuple[int, int]]:
    """Every place where the small array stands exactly in the large one."""
    windows = np.lib.stride_tricks.sliding_window_view(large, small.shape)
    matches = (windows == small).reshape(*windows.shape[: large.ndim], -1).all(axis=-1)
    return [(int(row), int(column)) for row, column, *_ in np.argwhere(matches)]


def test_scale_1_is_an_exact_copy_of_a_part() -> None:
    image, label_map = noise(50, 60)
    places = set()
    for seed in range(80):
        crop, labels = train(ImageSize(47, 55))(image, label_map, seed)
        ((row, column),) = place_of(crop, image)
        np.testing.assert_array_equal(labels, label_map[row : row + 47, column : column + 55])
        places.add((row, column))
    rows, columns = zip(*places, strict=True)
    assert (min(rows), max(rows), min(columns), max(columns)) == (0, 3, 0, 5)
    assert len(places) >= 20  # of 24


def test_scale_1_of_the_same_size_is_an_exact_copy() -> None:
    image, label_map = noise(*SIZE)
    for seed in range(5):
        result = train()(image, label_map, seed)
        np.testing.assert_array_equal(result[0], image)
        np.testing.assert_array_equal(result[1], label_map)


def test_smaller_pictures_stand_anywhere_on_mean_and_void() -> None:
    image, label_map = noise(20, 30)
    places = []
    for seed in range(100):
        crop, labels = train()(image, label_map, seed)
        ((row, column),) = place_of(label_map, labels)
        inside = np.zeros(SIZE, bool)
        inside[row : row + 20, column : column + 30] = True
        np.testing.assert_array_equal(crop[inside].reshape(image.shape), image)
        assert (crop[~inside] == FILL).all()
        assert (labels[~inside] == 255).all()
        places.append((row / 76, column / 98))
    assert np.quantile(places, [0, 0.5, 1]) == pytest.approx([0, 0.5, 1], abs=0.1)


def test_a_wide_picture_is_cut_and_padded_at_once() -> None:
    image, label_map = ramps(40, 120)
    crop, labels = train(ImageSize(60, 100))(image, label_map, seed=3)
    rows = np.flatnonzero((labels != 255).all(axis=1))
    assert (len(rows), np.ptp(rows)) == (40, 39)
    assert (crop[rows, :, 1] // 2 == np.arange(40)[:, None]).all()
    assert (np.diff(labels[rows].astype(int), axis=1) == 1).all()


def test_void_stays_void_and_no_label_is_invented() -> None:
    label_map = np.where(np.mgrid[:60, :60][0] % 7 < 3, 255, 13).astype(np.uint8)
    image = np.repeat(label_map[..., None], 3, axis=2)
    transform = train(min_scale=0.5, max_scale=2.0, scale_step=0)
    seen = {
        int(value)
        for seed in range(30)
        for value in np.unique(transform(image, label_map, seed)[1])
    }
    assert seen == {13, 255}


def test_scales_come_in_equal_steps() -> None:
    transform = train(ImageSize(220, 260), min_scale=0.5, max_scale=2.0)
    scales = [scale_of(*transform(*ramps(100, 120), seed=seed)) for seed in range(700)]
    nearest = np.abs(np.subtract.outer(scales, STEPS)).argmin(axis=1)
    np.testing.assert_allclose(scales, np.array(STEPS)[nearest], rtol=0.02)
    assert np.bincount(nearest, minlength=7) / 700 == pytest.approx([1 / 7] * 7, abs=0.05)


@pytest.mark.parametrize(
    ("least", "most", "step", "expected"),
    [
        (0.5, 2.0, 0.25, STEPS),
        (0.4, 0.7, 0.1, [0.4, 0.5, 0.6, 0.7]),  # (0.7 - 0.4) / 0.1 is a little under 3.
        (0.5, 1.0, 0.2, [0.5, 0.7, 0.9]),
        (1.0, 1.0, 0.25, [1.0]),
        (1.0, 1.5, 4.0, [1.0]),
    ],
)
def test_steps_by_hand(least: float, most: float, step: float, expected: list[float]) -> None:
    transform = ScaleAndCrop(SIZE, MEAN, least, most, step)
    transform.set_random_seed(0)
    assert sorted({round(transform._draw_scale(), 6) for _ in range(200)}) == expected


def test_step_0_draws_any_scale() -> None:
    transform = ScaleAndCrop(SIZE, MEAN, 0.5, 2.0, 0)
    transform.set_random_seed(0)
    drawn = [transform._draw_scale() for _ in range(1000)]
    assert len(set(drawn)) == 1000
    assert np.quantile(drawn, [0, 0.5, 1]) == pytest.approx([0.5, 1.25, 2.0], abs=0.08)


def test_flip_has_its_chance_and_is_independent_of_scale_and_place() -> None:
    # With one seed for every step all would be drawn from the same number.
    transform = train(min_scale=0.5, max_scale=1.0, scale_step=0.5, horizontal_flip=0.3)
    outcomes = []
    for seed in range(800):
        image, label_map = transform(*ramps(80, 100), seed=seed)
        scale = scale_of(image, label_map)
        rows = np.flatnonzero((label_map != 255).any(axis=1))
        low = rows[0] > (SIZE.height - len(rows)) / 2
        outcomes.append((scale < 0, abs(scale) < 0.7, low))
    flipped, small, low = np.array(outcomes).T
    assert flipped.mean() == pytest.approx(0.3, abs=0.05)
    assert small.mean() == pytest.approx(0.5, abs=0.05)
    assert np.abs(np.corrcoef([flipped, small, low]) - np.eye(3)).max() < 0.1


def test_flip_turns_left_and_right() -> None:
    image, label_map = noise(*SIZE)
    result = train(horizontal_flip=1.0)(image, label_map, seed=0)
    np.testing.assert_array_equal(result[0], image[:, ::-1])
    np.testing.assert_array_equal(result[1], label_map[:, ::-1])


def test_same_seed_same_result_whatever_came_before() -> None:
    image, label_map = noise(120, 160)
    settings = {"min_scale": 0.5, "max_scale": 2.0, "horizontal_flip": 0.5, "photometric": 0.5}
    first, second = train(**settings), train(**settings)
    expected = [first(image, label_map, seed) for seed in range(20)]
    for seed in reversed(range(20)):
        for ours, theirs in zip(second(image, label_map, seed), expected[seed], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert not any(np.array_equal(a[0], b[0]) for a, b in pairwise(expected))


def test_photometric_changes_colours_only() -> None:
    image, label_map = noise(*SIZE)
    plain = train(horizontal_flip=0.5)
    transform = train(horizontal_flip=0.5, photometric=0.5)
    changed = []
    for seed in range(100):
        expected, result = plain(image, label_map, seed), transform(image, label_map, seed)
        np.testing.assert_array_equal(expected[1], result[1])
        changed.append(not np.array_equal(expected[0], result[0]))
    assert np.mean(changed) == pytest.approx(1 - 0.5**4, abs=0.08)


def test_inputs_are_not_changed() -> None:
    image, label_map = noise(*SIZE)
    before = image.copy(), label_map.copy()
    transform = train(min_scale=0.5, max_scale=2.0, horizontal_flip=1.0, photometric=1.0)
    for seed in range(10):
        transform(image, label_map, seed)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label_map, before[1])


def test_eval_changes_nothing() -> None:
    image, label_map = noise(30, 40)
    result = EvalTransform()(image, label_map, seed=5)
    np.testing.assert_array_equal(result[0], image)
    np.testing.assert_array_equal(result[1], label_map)


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.floats(0.1, 4.0),
    st.integers(0, 2**64 - 1),
)
def test_any_size_gives_the_crop(
    shape: tuple[int, int], size: tuple[int, int], scale: float, seed: int
) -> None:
    label_map = np.full(shape, 7, np.uint8)
    transform = train(ImageSize(*size), min_scale=scale, max_scale=scale, horizontal_flip=0.5)
    image, labels = transform(np.full((*shape, 3), 9, np.uint8), label_map, seed)
    assert (image.shape, image.dtype) == ((*size, 3), np.uint8)
    assert (labels.shape, labels.dtype) == (size, np.uint8)
    scaled = [
        min(max(1, round(side * scale)), most) for side, most in zip(shape, size, strict=True)
    ]
    assert (labels == 7).sum() == scaled[0] * scaled[1]
    assert (image[labels == 7] == 9).all()
    assert (image[labels != 7] == FILL).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 20000), (20000, 1), (1, 40000), (40000, 2)])
def test_extreme_shapes(shape: tuple[int, int]) -> None:
    transform = train(min_scale=0.5, max_scale=2.0, horizontal_flip=0.5, photometric=0.5)
    for seed in range(8):
        image, label_map = transform(
            np.full((*shape, 3), 9, np.uint8), np.full(shape, 3, np.uint8), seed
        )
        assert (image.shape, label_map.shape) == ((*SIZE, 3), SIZE)
        assert set(np.unique(label_map)) <= {3, 255}
        assert (label_map == 3).any()


def test_the_cost_does_not_grow_with_the_picture() -> None:
    transform = train(ImageSize(257, 257), min_scale=2.0, max_scale=2.0)

    def seconds(side: int) -> float:
        image, label_map = np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.uint8)
        transform(image, label_map, 0)
        times = []
        for seed in range(5):
            start = time.perf_counter()
            transform(image, label_map, seed)
            times.append(time.perf_counter() - start)
        return min(times)

    # The scaled picture would have 36 million pixels: over 30 ms.
    assert seconds(3000) < 4 * seconds(300) + 0.005
