"""torchvision's own way from a picture and its mask to what its segmenters are trained on.

Source: references/segmentation/presets.py and v2_extras.py of torchvision 0.27,
`SegmentationPresetTrain` with `use_v2`.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2
from typing_extensions import override

Backend = Literal["pil", "tv_tensor"]
BASE_SIZE = 520
CROP_SIZE = 480
"""The crop of the reference scripts."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PadIfSmaller(v2.Transform):
    """Pads at the right and at the bottom: pictures with 0, masks with void.

    Args:
        size: Least sides of the result.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    @override
    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Pixels to add."""
        height, width = v2.query_size(flat_inputs)
        return {"padding": [0, 0, max(self.size - width, 0), max(self.size - height, 0)]}

    @override
    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """The padded picture or mask."""
        if not any(params["padding"]):
            return inpt
        fill = 255 if isinstance(inpt, tv_tensors.Mask) else 0
        return v2.functional.pad(inpt, padding=params["padding"], fill=fill)


def preset(backend: Backend, crop: int = CROP_SIZE) -> v2.Compose:
    """The training transform of the reference scripts: the shorter side becomes 260 to 1040."""
    steps: list[v2.Transform] = [v2.ToImage()] if backend == "tv_tensor" else []
    steps += [v2.RandomResize(BASE_SIZE // 2, BASE_SIZE * 2), v2.RandomHorizontalFlip(0.5)]
    steps += [PadIfSmaller(crop), v2.RandomCrop(crop)]
    if backend == "pil":
        steps.append(v2.ToImage())
    types = {tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64, "others": None}
    steps += [v2.ToDtype(types, scale=True), v2.Normalize(MEAN, STD), v2.ToPureTensor()]
    return v2.Compose(steps)


def load(transform: v2.Compose, picture: Path, mask: Path, seed: int) -> tuple[Any, Any]:
    """A sample: the normalised picture and its label map."""
    torch.manual_seed(seed)
    with Image.open(picture) as file:
        image = file.convert("RGB")
    with Image.open(mask) as file:
        label_map = tv_tensors.Mask(v2.functional.pil_to_tensor(file))
    return transform(image, label_map)
