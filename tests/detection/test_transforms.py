import time
import tracemalloc
from itertools import pairwise

import albumentations as A
import cv2
import numpy as np
import pytest

from mnv2_dense.detection import transforms
from mnv2_dense.detection.transforms import (
    EvalTransform,
    PlainResize,
    Resize,
    TrainTransform,
    ZoomAndCrop,
)
from mnv2_dense.ops.legacy_resize import resize_legacy
from mnv2_dense.structures import ImageSize

SIZE = ImageSize(320, 256)
MEAN = (123.675, 116.28, 103.53)
PAINT = (255, 0, 255)
PIPELINE_STEPS = ("photometric", "expand", "iou_crop", "horizontal_flip")


def train(
    size: ImageSize = SIZE, resize: Resize = "bilinear", /, **probabilities: float
) -> TrainTransform:
    """The training transform with every step off but those given."""
    chances = dict.fromkeys(PIPELINE_STEPS, 0.0) | probabilities
    return TrainTransform(
        size,
        MEAN,
        photometric=chances["photometric"],
        expand=chances["expand"],
        expand_max_ratio=4.0,
        iou_crop=chances["iou_crop"],
        iou_crop_min_scale=0.3,
        horizontal_flip=chances["horizontal_flip"],
        resize=resize,
    )


def painted(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    image = np.full((height, width, 3), (40, 90, 40), dtype=np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = PAINT
    return image


def recover(image: np.ndarray) -> np.ndarray:
    """The rectangle of painted pixels: those nearer to the paint than to canvas and picture."""
    rows, columns = np.nonzero((image[..., 0] > 175) & (image[..., 1] < 60))
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def boxes_of(*boxes: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    return rows, np.arange(len(rows), dtype=np.int64)


def some_boxes(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, 0.8, (count, 2))
    high = low + generator.uniform(0.05, 1.0, (count, 2)) * (1 - low)
    return (np.hstack([low, high]) * [width, height, width, height]).astype(np.float32)


@pytest.mark.parametrize(
    "steps",
    [
        (),
        ("expand",),
        ("iou_crop",),
        ("horizontal_flip",),
        ("expand", "iou_crop", "horizontal_flip"),
    ],
)
def test_boxes_follow_the_pixels(steps: tuple[str, ...]) -> None:
    transform = train(**dict.fromkeys(steps, 1.0))
    generator = np.random.default_rng(7)
    checked = 0
    for seed in range(60):
        height, width = generator.integers(150, 500, 2)
        x1, y1 = generator.integers(0, width // 2), generator.integers(0, height // 2)
        x2, y2 = generator.integers(x1 + width // 4, width), generator.integers(y1 + 30, height)
        box = (int(x1), int(y1), int(x2), int(y2))
        image, boxes, labels = transform(painted(height, width, box), *boxes_of(box), seed=seed)
        assert image.shape == (*SIZE, 3)
        assert labels.tolist() == [0]
        np.testing.assert_allclose(boxes[0], recover(image), atol=1.5)
        checked += 1
    assert checked == 60


def test_order_of_boxes_and_labels_is_kept() -> None:
    boxes = some_boxes(30, 400, 300)
    labels = np.arange(30) + 100
    _, new_boxes, new_labels = train(horizontal_flip=1.0)(
        np.zeros((400, 300, 3), np.uint8), boxes, labels, seed=0
    )
    assert new_labels.tolist() == labels.tolist()
    expected = np.stack([300 - boxes[:, 2], boxes[:, 1], 300 - boxes[:, 0], boxes[:, 3]], axis=1)
    np.testing.assert_allclose(new_boxes, expected * [256 / 300, 0.8, 256 / 300, 0.8], atol=1e-3)


def test_eval_is_a_plain_bilinear_resize() -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 200, 3), dtype=np.uint8)
    boxes, labels = boxes_of((0, 0, 200, 100), (10, 20, 30, 40))
    resized, new_boxes, new_labels = EvalTransform(SIZE)(image, boxes, labels, seed=5)
    np.testing.assert_array_equal(resized, cv2.resize(image, (256, 320)))
    np.testing.assert_allclose(new_boxes, [[0, 0, 256, 320], [12.8, 64, 38.4, 128]], rtol=1e-6)
    assert (new_boxes.dtype, new_labels.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(train()(image, boxes, labels, seed=5)[0], resized)


def test_eval_by_the_legacy_rule_is_not_rounded() -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 201, 3), dtype=np.uint8)
    boxes, labels = boxes_of((0, 0, 201, 100), (10, 20, 30, 40))
    resized, new_boxes, new_labels = EvalTransform(SIZE, "legacy_bilinear")(image, boxes, labels)
    assert resized.dtype == np.float32
    np.testing.assert_array_equal(resized, resize_legacy(image, SIZE))
    assert (resized % 1 != 0).any()
    assert resized.max() > 200
    plain = EvalTransform(SIZE)(image, boxes, labels)
    assert plain[0].dtype == np.uint8
    np.testing.assert_array_equal(new_boxes, plain[1])
    assert new_labels.tolist() == [0, 1]


def test_training_by_the_legacy_rule_is_rounded() -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 201, 3), dtype=np.uint8)
    boxes, labels = boxes_of((0, 0, 201, 100))
    resized = train(SIZE, "legacy_bilinear")(image, boxes, labels, seed=5)[0]
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, np.rint(resize_legacy(image, SIZE)))
    distorted = train(SIZE, "legacy_bilinear", photometric=1.0)(image, boxes, labels, seed=5)[0]
    assert distorted.dtype == np.uint8
    assert not np.array_equal(distorted, resized)


def test_boxes_are_the_same_by_both_rules() -> None:
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    boxes, labels = some_boxes(8, 120, 160), np.arange(8)
    chances = dict.fromkeys(PIPELINE_STEPS, 0.7)
    first, second = train(**chances), train(SIZE, "legacy_bilinear", **chances)
    for seed in range(20):
        one, other = (each(image, boxes, labels, seed) for each in (first, second))
        for ours, theirs in zip(one[1:], other[1:], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_masks_take_the_nearest_pixel_by_the_legacy_rule_too() -> None:
    mask = np.random.default_rng(0).choice([0, 7, 255], (40, 50)).astype(np.uint8)
    image = np.zeros((40, 50, 3), np.uint8)
    out = A.Compose([PlainResize(SIZE, "legacy_bilinear", rounded=True)])(image=image, mask=mask)
    assert out["mask"].shape == out["image"].shape[:2] == SIZE
    assert set(np.unique(out["mask"])) == {0, 7, 255}


def test_eval_at_the_same_size_changes_nothing() -> None:
    boxes = some_boxes(50, *SIZE)
    image = np.zeros((*SIZE, 3), np.uint8)
    np.testing.assert_allclose(
        EvalTransform(SIZE)(image, boxes, np.arange(50))[1], boxes, rtol=1e-6
    )


def test_same_seed_same_result_whatever_came_before() -> None:
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    boxes, labels = some_boxes(5, 120, 160), np.arange(5)
    chances = dict.fromkeys(PIPELINE_STEPS, 0.7)
    first, second = train(**chances), train(**chances)
    expected = [first(image, boxes, labels, seed) for seed in range(20)]
    for seed in reversed(range(20)):
        for ours, theirs in zip(second(image, boxes, labels, seed), expected[seed], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert not all(np.array_equal(a[0], b[0]) for a, b in pairwise(expected))


def test_inputs_are_not_changed() -> None:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    boxes, labels = some_boxes(4, *SIZE), np.arange(4)
    before = image.copy(), boxes.copy(), labels.copy()
    for seed in range(20):
        train(**dict.fromkeys(PIPELINE_STEPS, 1.0))(image, boxes, labels, seed)
    for now, then in zip((image, boxes, labels), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_probabilities_are_honoured_and_independent() -> None:
    box = (20, 20, 40, 80)
    image, (boxes, labels) = painted(100, 100, box), boxes_of(box)
    transform = train(ImageSize(100, 100), expand=0.3, horizontal_flip=0.5)
    flipped, expanded = np.zeros(600, bool), np.zeros(600, bool)
    for seed in range(600):
        pixels, new_boxes, _ = transform(image, boxes, labels, seed)
        expanded[seed] = new_boxes[0, 3] - new_boxes[0, 1] < 59.9
        flipped[seed] = new_boxes[0, 0] != 20 and not expanded[seed]
        assert pixels.shape == (100, 100, 3)
    assert expanded.mean() == pytest.approx(0.3, abs=0.06)
    assert flipped[~expanded].mean() == pytest.approx(0.5, abs=0.08)


def test_zoom_out_and_flip_do_not_come_together() -> None:
    # With one seed for every step both would be drawn from the same number.
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, :50] = 255
    boxes, labels = boxes_of((0, 0, 50, 100))
    transform = train(ImageSize(100, 100), expand=0.5, horizontal_flip=0.5)
    outcomes = set()
    for seed in range(60):
        pixels, new_boxes, _ = transform(image, boxes, labels, seed)
        x1, y1, x2, y2 = new_boxes[0].round().astype(int)
        # The picture's other half is black: it lies right of the box unless flipped.
        row, right = (y1 + y2) // 2, min(x2 + (x2 - x1) // 2, 99)
        outcomes.add((x2 - x1 < 49, bool(pixels[row, right].max() > 20 or x2 >= 99)))
    assert len(outcomes) == 4


def zoom_and_crop(size: ImageSize, expand: float = 0.0, iou_crop: float = 0.0) -> ZoomAndCrop:
    return ZoomAndCrop(
        size,
        fill=MEAN,
        expand=expand,
        expand_max_ratio=4.0,
        iou_crop=iou_crop,
        iou_crop_min_scale=0.3,
    )


def test_expand_places_the_picture_on_the_mean() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    transform = train(ImageSize(300, 400), expand=1.0)
    ratios: list[float] = []
    offsets: list[float] = []
    for seed in range(200):
        canvas = transform(image, *boxes_of((0, 0, 80, 60)), seed)[0]
        rows, columns = np.nonzero((canvas == 0).all(axis=2))
        sides = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == sides[0] * sides[1]
        assert sides[0] / 300 == pytest.approx(sides[1] / 400, abs=0.02)
        outside = canvas[(canvas != 0).any(axis=2)]
        assert (outside == (124, 116, 104)).all()
        ratios.append(300 / sides[0])
        offsets.append(rows.min() / max(1, 300 - sides[0]))
    assert np.quantile(ratios, [0, 0.5, 1]) == pytest.approx([1, 2.5, 4], abs=0.3)
    assert np.mean(offsets) == pytest.approx(0.5, abs=0.08)


def test_boxes_lie_where_the_picture_was_put_to_the_pixel() -> None:
    transform = train(ImageSize(90, 110), expand=1.0)
    for seed in range(50):
        image, boxes, _ = transform(
            painted(60, 80, (0, 0, 80, 60)), *boxes_of((0, 0, 80, 60)), seed
        )
        np.testing.assert_allclose(boxes[0], recover(image), atol=1e-4)


def crop_once(
    boxes: np.ndarray, height: int, width: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The crop's rectangle, and the boxes in it and rows of boxes that it leaves."""
    rows = np.hstack([boxes / [width, height, width, height], np.arange(len(boxes))[:, None]])
    crop = zoom_and_crop(ImageSize(50, 50), iou_crop=1.0)
    pipeline = A.Compose([crop], bbox_params=A.BboxParams("albumentations", clip=True))
    crop.set_random_seed(seed)
    out = pipeline(image=np.zeros((height, width, 3), np.uint8), bboxes=rows)
    window = np.array(crop.params["window"])
    left = out["bboxes"].reshape(-1, 5)
    places = left[:, :4] * np.tile(window[2:] - window[:2], 2)
    return window, places, left[:, 4].astype(int)


def iou(crop: np.ndarray, box: np.ndarray) -> float:
    width = max(0.0, min(crop[2], box[2]) - max(crop[0], box[0]))
    height = max(0.0, min(crop[3], box[3]) - max(crop[1], box[1]))
    areas = [(r[2] - r[0]) * (r[3] - r[1]) for r in (crop, box)]
    return float(width * height / (sum(areas) - width * height))


@pytest.mark.parametrize("least", [0.0, 0.1, 0.5, 0.7])
def test_crop_keeps_its_promises(monkeypatch: pytest.MonkeyPatch, least: float) -> None:
    monkeypatch.setattr(transforms, "MIN_IOUS", (least,))
    height, width, cropped = 300, 400, 0
    for seed in range(120):
        boxes = some_boxes(4, height, width, seed).astype(np.float64)
        crop, left, rows = crop_once(boxes, height, width, seed)
        sides = crop[2:] - crop[:2]
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        inside = ((centres >= crop[:2]) & (centres < crop[2:])).all(axis=1)
        assert rows.tolist() == np.flatnonzero(inside).tolist()
        assert len(rows) >= 1
        clipped = np.clip(boxes[rows], np.tile(crop[:2], 2), np.tile(crop[2:], 2))
        np.testing.assert_allclose(left, clipped - np.tile(crop[:2], 2), atol=1e-4)
        if tuple(sides) == (width, height):
            continue
        cropped += 1
        assert 0.5 <= sides[0] / sides[1] <= 2.0
        assert (sides >= [119, 89]).all()
        assert max(iou(crop, box) for box in boxes[rows]) >= least
    assert cropped > 10


def test_crop_draws_every_option_and_honours_its_probability() -> None:
    # One box over all: the crop's IoU is its share of the picture.
    boxes = np.array([[0.0, 0.0, 200.0, 200.0]])
    transform = train(ImageSize(200, 200), iou_crop=0.5)
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (200, 200, 3)).copy()
    changed = [
        not np.array_equal(transform(ramp, *boxes_of((0, 0, 200, 200)), seed)[0], ramp)
        for seed in range(500)
    ]
    assert np.mean(changed) == pytest.approx(0.5, abs=0.08)
    shares = []
    for seed in range(300):
        crop, _, _ = crop_once(boxes, 200, 200, seed)
        shares.append((crop[2] - crop[0]) * (crop[3] - crop[1]) / 40_000)
    assert min(shares) < 0.2
    # Options .7 and .9 make large crops common: a free crop exceeds .7 only one time in six.
    assert np.mean(np.array(shares) >= 0.7) == pytest.approx(0.4, abs=0.12)


def test_crop_that_cannot_fit_leaves_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "MIN_IOUS", (0.9,))
    boxes = np.array([[10.0, 10.0, 14.0, 14.0]])
    crop, left, _ = crop_once(boxes, 100, 100, 0)
    assert crop.tolist() == [0, 0, 100, 100]
    np.testing.assert_allclose(left, boxes, rtol=1e-6)


def test_pictures_without_boxes_are_cropped_freely() -> None:
    sizes = {tuple(crop_once(np.empty((0, 4)), 90, 90, seed)[0]) for seed in range(9)}
    assert len(sizes) == 9


def test_crops_of_the_canvas_alone_are_of_its_colour() -> None:
    transform, seen = train(ImageSize(40, 40), expand=1.0, iou_crop=1.0), set()
    for seed in range(100):
        image, boxes, _ = transform(np.zeros((90, 90, 3), np.uint8), *boxes_of(), seed)
        assert boxes.shape == (0, 4)
        seen |= {tuple(colour) for colour in image.reshape(-1, 3).tolist()}
        seen |= {"canvas alone"} if image.all() else set()
    assert seen == {(0, 0, 0), (124, 116, 104), "canvas alone"}


def test_photometric_changes_colours_only() -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    boxes, labels = some_boxes(6, 80, 80), np.arange(6)
    geometry = dict.fromkeys(PIPELINE_STEPS[1:], 0.5)
    changed = []
    for seed in range(100):
        plain = train(**geometry)(image, boxes, labels, seed)
        distorted = train(photometric=0.5, **geometry)(image, boxes, labels, seed)
        np.testing.assert_array_equal(plain[1], distorted[1])
        np.testing.assert_array_equal(plain[2], distorted[2])
        changed.append(not np.array_equal(plain[0], distorted[0]))
    assert np.mean(changed) == pytest.approx(1 - 0.5**4, abs=0.08)


@pytest.mark.parametrize("shape", [(1, 1), (1, 20000), (20000, 1), (1, 40000), (2, 3)])
@pytest.mark.parametrize("with_box", [True, False])
def test_extreme_shapes(shape: tuple[int, int], with_box: bool) -> None:
    height, width = shape
    boxes, labels = boxes_of(*[(0, 0, width, height)] * with_box)
    image = np.full((height, width, 3), 9, np.uint8)
    for seed in range(8):
        for transform in (
            train(**dict.fromkeys(PIPELINE_STEPS, 1.0)),
            EvalTransform(SIZE),
            EvalTransform(SIZE, "legacy_bilinear"),
        ):
            out, new_boxes, new_labels = transform(image, boxes, labels, seed)
            assert out.shape == (*SIZE, 3)
            assert new_boxes.shape == (with_box, 4)
            assert new_labels.shape == (with_box,)
            assert (new_boxes.dtype, new_labels.dtype) == (np.float32, np.int64)


def test_boxes_under_a_pixel_of_the_input_are_dropped() -> None:
    boxes, labels = boxes_of((10, 10, 13, 500), (10, 10, 11.9, 500), (5, 5, 5, 9))
    image = np.zeros((1000, 512, 3), np.uint8)
    _, new_boxes, new_labels = EvalTransform(SIZE)(image, boxes, labels)
    assert new_labels.tolist() == [0]
    assert len(new_boxes) == 1


def test_boxes_stay_in_the_picture() -> None:
    transform = train(**dict.fromkeys(PIPELINE_STEPS, 0.8))
    for seed in range(200):
        boxes = some_boxes(8, 97, 131, seed)
        _, new_boxes, new_labels = transform(
            np.zeros((97, 131, 3), np.uint8), boxes, np.arange(8), seed
        )
        assert len(new_boxes) == len(new_labels)
        assert (new_boxes >= 0).all()
        assert (new_boxes <= [256, 320, 256, 320]).all()
        assert (new_boxes[:, 2:] - new_boxes[:, :2] >= 0.999).all()


def test_masks_follow_the_pixels() -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[10:30, 20:50] = 1
    image = np.repeat(mask[..., None] * 255, 3, axis=2)
    steps = A.Compose(
        [
            ZoomAndCrop(
                ImageSize(60, 80),
                fill=(0, 0, 0),
                expand=1.0,
                expand_max_ratio=3.0,
                iou_crop=0.0,
                iou_crop_min_scale=0.3,
            ),
            A.HorizontalFlip(p=1.0),
        ]
    )
    for seed in range(20):
        steps.set_random_seed(seed)
        out = steps(image=image, mask=mask, bboxes=np.zeros((0, 5)))
        pixels = out["image"][..., 0] / 255
        assert out["mask"].any()
        # They differ at most where the picture is neither of the two.
        assert np.abs(pixels - out["mask"]).max() < 0.75
        assert out["mask"][pixels > 0.99].all()
        assert not out["mask"][pixels == 0].any()


def test_the_cost_does_not_grow_with_the_canvas() -> None:
    image = np.zeros((4000, 5000, 3), np.uint8)
    transform = train(ImageSize(32, 32), expand=1.0)
    tracemalloc.start()
    for seed in range(5):
        transform(image, *boxes_of((0, 0, 5000, 4000)), seed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < image.nbytes // 100  # The canvas would have up to 16 times the pixels.


def test_augmentation_is_fast() -> None:
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    boxes, labels = some_boxes(20, 480, 640), np.arange(20)
    chances = {"photometric": 0.5, "expand": 0.5, "iou_crop": 6 / 7, "horizontal_flip": 0.5}
    transform = train(ImageSize(320, 320), **chances)
    start = time.process_time()
    for seed in range(50):
        transform(image, boxes, labels, seed)
    # About 4 ms on a quiet core; ten times that means a lost optimisation.
    assert (time.process_time() - start) / 50 < 0.04
