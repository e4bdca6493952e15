import numpy as np
import torch
from numpy.typing import NDArray

from mnv2_dense.ops.resize import resize_map
from mnv2_dense.prediction.decoding import Window, average_windows
from mnv2_dense.structures import ImageSize

RANDOM = np.random.default_rng(0)


def smooth_logits(classes: int, height: int, width: int) -> NDArray[np.float32]:
    """With areas of one class, as networks give them."""
    coarse = RANDOM.normal(size=(1, classes, height // 3 + 1, width // 3 + 1)) * 4
    return resize_map(torch.from_numpy(coarse), ImageSize(height, width), False)[0].float().numpy()


def test_windows_are_averaged_where_they_overlap() -> None:
    """Against probabilities of whole windows, added up pixel by pixel."""
    window, size, tops, lefts = ImageSize(16, 24), (30, 50), (0, 12, 14), (0, 18, 26)
    windows = [Window(top, left, smooth_logits(4, 4, 6)) for top in tops for left in lefts]
    total, single = np.zeros((4, *size)), np.zeros(size, np.uint8)
    for top, left, logits in windows:
        whole = resize_map(torch.from_numpy(logits)[None], window, False)[0]
        total[:, top : top + 16, left : left + 24] += whole.softmax(0).numpy()
        single[top : top + 16, left : left + 24] = whole.argmax(0)
    before = single.copy()
    average_windows(windows, single, window, align_corners=False)
    assert (single == total.argmax(0)).mean() > 0.999
    assert (single != before).any()
