import numpy as np
import pytest
import torch
from torch import Tensor

from mnv2_dense.ops.resize import resize_map
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.prediction.results import DetectionResult, SegmentationResult
from mnv2_dense.segmentation.decode import Decoder
from mnv2_dense.segmentation.inference import Inference
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.segmentation.strips import assemble
from mnv2_dense.structures import ImageSize
from tests.prediction.networks import CATEGORIES, SIZE, Brightness, Colors, color_logits

RANDOM = np.random.default_rng(0)


def areas(height: int, width: int) -> np.ndarray:
    """A picture of larger areas, for cells to differ."""
    coarse = RANDOM.integers(0, 256, (1, 3, height // 12 + 1, width // 12 + 1)).astype(np.float32)
    smooth = resize_map(torch.from_numpy(coarse), ImageSize(height, width), False)[0]
    return smooth.permute(1, 2, 0).byte().numpy()


def test_boxes_are_in_pixels_of_the_picture() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[..., 1] = 204
    result = Predictor(Brightness(), 1).predict(picture)
    assert isinstance(result, DetectionResult)
    assert result.boxes.tolist() == [[50, 50, 150, 100]]  # the other one has no score
    assert result.scores.tolist() == pytest.approx([0.8])
    assert [result.names[label] for label in result.labels] == ["green"]
    assert result.size == (100, 200)
    assert result.engine == "by hand"
    assert result.times.run > 0
    none = Predictor(Brightness(), 1).predict(picture, score_threshold=0.81)
    assert isinstance(none, DetectionResult)
    assert not len(none.boxes)


@pytest.mark.parametrize("size", [(1, 1), (20, 40), (32, 48), (3, 48)])
def test_a_picture_that_fits_is_padded_and_cut(size: tuple[int, int]) -> None:
    engine, picture = Colors(), areas(*size)
    result = Predictor(engine, 1).predict(picture)
    assert isinstance(result, SegmentationResult)
    height, width = size
    assert np.array_equal(engine.seen[0][:height, :width], picture)
    assert (engine.seen[0][height:] == engine.manifest.mean).all()
    assert result.label_map.shape == size
    expected = engine.run(engine.seen[0][None]).label_maps[0, :height, :width]
    assert np.array_equal(result.label_map, expected)


def whole(label: str, picture: np.ndarray) -> np.ndarray:
    """What the evaluation of checkpoints makes of it."""
    inference = Inference(
        Decoder(align_corners=False),
        window=SIZE,
        large_pictures="shrink" if label == "shrink" else "window",
        align_corners=False,
    )

    def forward(images: Tensor) -> SegmenterOutputs:
        levels = images.permute(0, 2, 3, 1).numpy() + np.array([10, 20, 30])
        logits = color_logits(levels)
        return SegmenterOutputs(torch.from_numpy(logits))

    normalized = torch.from_numpy(picture - np.array([10, 20, 30])).permute(2, 0, 1)[None].float()
    size = ImageSize(*picture.shape[:2])
    return assemble(inference(forward, normalized, [size]), [size])[0].numpy()


@pytest.mark.parametrize("size", [(90, 130), (130, 40), (20, 200), (33, 48)])
def test_a_large_picture_is_seen_through_windows_as_in_evaluation(size: tuple[int, int]) -> None:
    picture = areas(*size)
    result = Predictor(Colors(large_pictures="window"), 1).predict(picture)
    assert isinstance(result, SegmentationResult)
    assert np.array_equal(result.label_map, whole("window", picture))


@pytest.mark.parametrize("size", [(90, 130), (200, 40), (33, 48)])
def test_a_large_picture_is_shrunken_as_in_evaluation(size: tuple[int, int]) -> None:
    picture = areas(*size)
    result = Predictor(Colors(), 1).predict(picture)
    assert isinstance(result, SegmentationResult)
    assert result.label_map.shape == size
    assert (result.label_map == whole("shrink", picture)).mean() > 0.93
    assert len(np.unique(result.label_map)) == len(CATEGORIES)


def test_a_fixed_batch_is_filled_up() -> None:
    engine = Brightness(batch=4)
    pictures = [np.full((5, 5, 3), shade, np.uint8) for shade in (0, 50, 100, 150, 200, 250)]
    results = list(Predictor(engine, 2).predict(pictures, batch=9, score_threshold=0))
    assert engine.batches == [4, 4]
    scores = [each.scores.tolist() for each in results if isinstance(each, DetectionResult)]
    assert scores == [[], *([pytest.approx(shade / 255)] for shade in (50, 100, 150, 200, 250))]
