import pytest
import torch

from mnv2_dense.ops.resize import resize_map
from mnv2_dense.segmentation.decode import Decoder, Part
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.structures import ImageSize


def random_logits(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 3


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [ImageSize(33, 17), ImageSize(1, 1), ImageSize(4, 5)])
def test_probabilities_at_the_size_of_the_picture(align_corners: bool, size: ImageSize) -> None:
    outputs = SegmenterOutputs(random_logits(2, 6, 4, 5), None)
    probabilities = Decoder(align_corners=align_corners)(outputs, size)
    assert probabilities.shape == (2, 6, *size)
    assert probabilities.dtype == torch.float32
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(2, *size))
    assert (probabilities >= 0).all()


def test_logits_are_resized_and_not_probabilities() -> None:
    # Two cells side by side, three pixels: the middle one has the mean of the logits.
    logits = torch.tensor([[8.0, 0.0], [0.0, 2.0]]).reshape(1, 2, 1, 2)
    found = Decoder()(SegmenterOutputs(logits, None), ImageSize(1, 3))[0, :, 0]
    by_hand = torch.tensor([[8.0, 4.0, 0.0], [0.0, 1.0, 2.0]]).softmax(dim=0)
    assert torch.allclose(found, by_hand)


def test_align_corners_is_obeyed() -> None:
    logits = torch.tensor([[0.0, 4.0], [0.0, 0.0]]).reshape(1, 2, 1, 2)
    found = Decoder(align_corners=False)(SegmenterOutputs(logits, None), ImageSize(1, 4))[0, :, 0]
    by_hand = torch.tensor([[0.0, 1.0, 3.0, 4.0], [0.0] * 4]).softmax(dim=0)
    assert torch.allclose(found, by_hand)


def test_half_precision_logits_become_float32() -> None:
    outputs = SegmenterOutputs(random_logits(1, 21, 3, 3).bfloat16(), None)
    probabilities = Decoder()(outputs, ImageSize(9, 9))
    assert probabilities.dtype == torch.float32
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(1, 9, 9), atol=1e-6)


def test_the_auxiliary_head_changes_nothing_and_no_gradient_is_kept() -> None:
    logits, other = random_logits(1, 3, 4, 4).requires_grad_(), random_logits(1, 3, 4, 4) + 9
    size = ImageSize(7, 7)
    found = Decoder()(SegmenterOutputs(logits, other), size)
    assert torch.equal(found, Decoder()(SegmenterOutputs(logits, None), size))
    assert not found.requires_grad


def test_a_batch_equals_its_singles() -> None:
    logits = random_logits(3, 5, 4, 6)
    size = ImageSize(15, 21)
    batch = Decoder()(SegmenterOutputs(logits, None), size)
    for position in range(3):
        single = Decoder()(SegmenterOutputs(logits[position : position + 1], None), size)
        assert torch.allclose(batch[position : position + 1], single, atol=1e-7)


@pytest.mark.parametrize("align_corners", [True, False])
def test_a_part_is_cut_out_of_the_whole(align_corners: bool) -> None:
    outputs, size = SegmenterOutputs(random_logits(2, 5, 4, 6), None), ImageSize(15, 21)
    decoder = Decoder(align_corners=align_corners)
    found = decoder(outputs, size, Part(range(3, 11), range(20)))
    torch.testing.assert_close(found, decoder(outputs, size)[:, :, 3:11, :20])
    naive = resize_map(outputs.class_logits, size, align_corners).softmax(dim=1)
    torch.testing.assert_close(found, naive[:, :, 3:11, :20], rtol=1e-4, atol=1e-6)
