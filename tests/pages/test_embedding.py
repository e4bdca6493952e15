import base64
import io

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.pages.embedding import embed


@pytest.mark.parametrize("noisy", [False, True])
def test_a_picture_comes_back_in_the_smaller_format(noisy: bool) -> None:
    pixels = np.full((32, 48, 3), 200, np.uint8)
    if noisy:
        pixels = np.random.default_rng(0).integers(0, 255, pixels.shape, dtype=np.uint8)
    head, text = embed(Image.fromarray(pixels)).split(",")
    assert head == f"data:image/{'jpeg' if noisy else 'png'};base64"
    read = Image.open(io.BytesIO(base64.b64decode(text)))
    assert read.size == (48, 32)
    assert noisy or np.array_equal(np.array(read.convert("RGB")), pixels)
