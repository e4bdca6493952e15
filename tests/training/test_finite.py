import pytest
import torch

from mnv2_dense.errors import UserError
from mnv2_dense.training.finite import check_finite


def test_finite_loss_passes() -> None:
    check_finite(torch.tensor(1e30, requires_grad=True), step=0, epoch=0)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_message_names_value_step_epoch_and_images(value: str) -> None:
    loss = torch.tensor(float(value))
    with pytest.raises(UserError, match=rf"is {value} at step 12, epoch 3, images 5, 9;"):
        check_finite(loss, step=12, epoch=3, image_ids=[5, 9])


def test_long_batches_are_cut_short() -> None:
    with pytest.raises(UserError, match=r"images 0, 1, 2, 3, 4, 5, 6, 7 and 16 more;"):
        check_finite(torch.tensor(float("nan")), step=0, epoch=0, image_ids=range(24))
