import pytest
import torch
from torch import Tensor

from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.structures import ImageSize
from tools.compare.whole_picture import WholePicture


def echo(images: Tensor) -> SegmenterOutputs:
    """The picture's own values as logits."""
    return SegmenterOutputs(images)


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        (ImageSize(375, 500), (208, 288)),  # 277 columns, and the padding
        (ImageSize(500, 375), (288, 208)),
        (ImageSize(100, 100), (208, 208)),
    ],
)
def test_the_shorter_side_is_resized_and_the_picture_seen_whole(
    size: ImageSize, seen: tuple[int, int]
) -> None:
    shapes: list[tuple[int, ...]] = []

    def record(images: Tensor) -> SegmenterOutputs:
        shapes.append(tuple(images.shape))
        return echo(images)

    canvas = torch.rand(1, 3, 500, 500)
    (strip,) = WholePicture(208, multiple_of=16)(record, canvas, [size])
    assert shapes == [(1, 3, *seen)]
    assert (strip.position, strip.top, strip.left, strip.size) == (0, 0, 0, size)
    assert torch.allclose(strip.probabilities().sum(dim=0), torch.ones(size))


def test_labels_lie_on_the_pictures_own_pixels() -> None:
    picture = torch.zeros(2, 2, 90, 121)
    picture[0, 1, :, 40:] = 2
    picture[1, 1, 30:] = 2
    picture[:, 0] = 1
    picture[1, :, :, 100:] = torch.tensor([9.0, 0.0])[:, None, None]  # beyond the second picture
    sizes = [ImageSize(90, 121), ImageSize(60, 100)]
    first, second = WholePicture(180, multiple_of=16)(echo, picture, sizes)
    assert torch.equal(first.labels(), picture[0].argmax(dim=0).byte())
    assert torch.equal(second.labels(), picture[1, :, :60, :100].argmax(dim=0).byte())
    assert [first.position, second.position] == [0, 1]
