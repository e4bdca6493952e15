import numpy as np
import torch

from mnv2_dense.joint.inference import WholePictures
from mnv2_dense.prediction.preparing import resize_picture
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.segmentation.strips import assemble
from mnv2_dense.structures import ImageSize

SIZE = ImageSize(8, 12)


def test_a_picture_of_the_inputs_size_stays_as_it_is() -> None:
    inference = WholePictures(SIZE, align_corners=True)
    canvas = torch.rand(2, 3, 20, 20)
    shown = inference.show(canvas, [SIZE, SIZE])
    assert torch.equal(shown, canvas[:, :, : SIZE.height, : SIZE.width])


def test_pictures_are_resized_as_a_detectors_are() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (17, 9, 3), np.uint8)
    canvas = torch.zeros(1, 3, 30, 30)
    canvas[0, :, :17, :9] = torch.from_numpy(picture).permute(2, 0, 1).float()
    inference = WholePictures(SIZE, align_corners=True)
    shown = inference.show(canvas, [ImageSize(17, 9)])[0].permute(1, 2, 0)
    expected = resize_picture(picture, SIZE, "bilinear")  # In whole numbers.
    assert np.abs(shown.numpy() - expected).max() <= 1.0


def test_every_pixel_of_a_picture_has_the_class_of_its_place_in_the_input() -> None:
    # The left third is class 1, at every size of picture.
    logits = torch.zeros(1, 2, 8, 12)
    logits[:, 1, :, :4] = 2.0
    logits[:, 0] = 1.0
    inference = WholePictures(SIZE, align_corners=False)
    for size in (ImageSize(8, 12), ImageSize(24, 36), ImageSize(80, 60), ImageSize(4, 6)):
        strips = inference.strips(SegmenterOutputs(logits), [size])
        (label_map,) = assemble(strips, [size])
        assert label_map.shape == size
        assert (label_map[:, : size.width // 3] == 1).all()
        assert (label_map[:, size.width // 3 :] == 0).all()


def test_corner_cells_lie_on_corner_pixels_where_corners_are_aligned() -> None:
    logits = torch.tensor([[[[0.0, 1.0]], [[0.7, 0.7]]]])  # Class 0 wins from 0.7 of the way on.
    inference = WholePictures(ImageSize(1, 11), align_corners=True)
    (label_map,) = assemble(
        inference.strips(SegmenterOutputs(logits), [ImageSize(1, 11)]), [ImageSize(1, 11)]
    )
    assert label_map.tolist() == [[1] * 7 + [0] * 4] or label_map.tolist() == [[1] * 8 + [0] * 3]
