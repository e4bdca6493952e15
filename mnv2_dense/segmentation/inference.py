"""From pictures of any size to class probabilities, through a network of one input size."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mnv2_dense.ops.resize import resize_map
from mnv2_dense.segmentation.decode import Decoder
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.structures import IGNORE_INDEX, ImageSize

Forward = Callable[[Tensor], SegmenterOutputs]
"""Normalised images [B, 3, H, W] to the network's outputs."""

_STRIP_VALUES = 2**24
"""Probabilities in a strip of a large picture: 64 MB, whatever the picture's size."""


class Strip(NamedTuple):
    """Class probabilities of some rows of a picture over its full width, or of some columns.

    position: the picture's place in the batch.
    top: the first row, in the picture.
    probabilities: [C, rows, columns] float32.
    left: the first column, in the picture.
    """

    position: int
    top: int
    probabilities: Tensor
    left: int = 0


class Inference:
    """The evaluation protocol: padding, scales, flips and windows around a network.

    A picture that fits the window is padded with the mean to the window's size. A larger one is
    seen through overlapping windows, whose probabilities are averaged, or scaled down to fit.

    Args:
        decoder: Outputs to probabilities.
        window: Size of what the network sees at scale 1.
        scales: Every window is also seen at these sizes, and the probabilities are averaged.
        flip: Every window is also seen mirrored left to right, at every scale.
        overlap: Share of a window that its neighbours see too, at least; from 0, below 1.
        large_pictures: What happens to pictures larger than the window.
        align_corners: How pictures are scaled.

    Raises:
        ValueError: No scale, one that is not positive, or an overlap out of its range.

    Source: DeepLab release, eval.py (padding to 513), model.py `predict_labels_multi_scale`.
    Differs from the release: at scales below 1 it brings the logits to the grid of scale 1
    first; here every scale's logits go straight to the window's size.
    """

    def __init__(
        self,
        decoder: Decoder,
        *,
        window: ImageSize,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        overlap: float = 0.25,
        large_pictures: Literal["window", "shrink"] = "window",
        align_corners: bool = True,
    ) -> None:
        if not scales or min(scales) <= 0:
            raise ValueError(f"scales {tuple(scales)}: at least one, and all above 0")
        if not 0 <= overlap < 1:
            raise ValueError(f"overlap {overlap}: from 0, below 1")
        self.decoder = decoder
        self.window = window
        self.scales = tuple(scales)
        self.flip = flip
        self.overlap = overlap
        self.large_pictures = large_pictures
        self.align_corners = align_corners

    def __call__(
        self, forward: Forward, images: Tensor, sizes: Sequence[ImageSize]
    ) -> Iterator[Strip]:
        """Probabilities of every picture, each from one end of its longer side to the other.

        A picture that fits the window is one strip. The memory for a larger one does not grow
        with its longer side: it is held in bands of windows across that, and given in strips of
        at most about 64 MB, of columns where it is wider than high.

        Args:
            forward: The network in evaluation mode; it gets as many images at once as there are
                pictures in the batch, or fewer.
            images: Normalised pictures [B, 3, H, W], each at the top left of the canvas.
            sizes: Size of every picture; what the canvas holds beyond it is not looked at.
        """
        pictures = [
            image[:, : size.height, : size.width] for image, size in zip(images, sizes, strict=True)
        ]
        at_once = {
            position: picture
            for position, picture in enumerate(pictures)
            if self.large_pictures == "shrink" or self._fits(picture)
        }
        yield from self._run_whole(forward, at_once)
        for position, picture in enumerate(pictures):
            if position not in at_once:
                yield from self._run_large(forward, picture, position, len(pictures))

    def _fits(self, picture: Tensor) -> bool:
        height, width = picture.shape[-2:]
        return height <= self.window.height and width <= self.window.width

    def _run_whole(self, forward: Forward, pictures: dict[int, Tensor]) -> Iterator[Strip]:
        """Strips of pictures that fit the window, or are shrunken to do so."""
        if not pictures:
            return
        shrunken = [self._shrink(picture) for picture in pictures.values()]
        batch = torch.stack([self._pad(picture) for picture in shrunken])
        everything = self._see(forward, batch)
        for (position, picture), seen, padded in zip(
            pictures.items(), shrunken, everything, strict=True
        ):
            probabilities = padded[:, : seen.shape[1], : seen.shape[2]]
            if self._fits(picture):
                yield Strip(position, 0, probabilities)
                continue
            size = ImageSize(*picture.shape[-2:])
            for top, bottom in _row_ranges(size.height, len(probabilities) * size.width):
                rows = _resize_rows(probabilities, size, top, bottom)
                yield Strip(position, top, rows)

    def _run_large(
        self, forward: Forward, picture: Tensor, position: int, at_once: int
    ) -> Iterator[Strip]:
        """Strips of a picture seen through windows, along its longer side."""
        if picture.shape[2] <= picture.shape[1]:
            for top, rows in self._run_windows(forward, picture, at_once):
                yield Strip(position, top, rows)
        else:
            turned = self._run_windows(forward, picture.transpose(1, 2), at_once, turned=True)
            for left, columns in turned:
                yield Strip(position, 0, columns.transpose(1, 2), left)

    def _run_windows(
        self, forward: Forward, picture: Tensor, at_once: int, *, turned: bool = False
    ) -> Iterator[tuple[int, Tensor]]:
        """First row and probabilities of strip after strip of a picture larger than the window.

        `turned` says that rows and columns of the picture are exchanged; the network still sees
        the windows as they are.
        """
        height, width = picture.shape[-2:]
        window = ImageSize(*self.window[::-1]) if turned else self.window
        rows = min(height, window.height)
        tops = _starts(height, window.height, self.overlap)
        lefts = _starts(width, window.width, self.overlap)
        # A pixel lies in so many rows of windows times so many columns of them.
        in_rows = _coverage(tops, window.height, height, picture.device)
        in_columns = _coverage(lefts, window.width, width, picture.device)
        total = torch.empty(0)
        for top, following in zip(tops, [*tops[1:], height], strict=True):
            band = picture[:, top : top + rows]
            windows = [band[:, :, left : left + window.width] for left in lefts]
            seen_windows = self._see_all(forward, windows, at_once, turned=turned)
            for left, seen in zip(lefts, seen_windows, strict=True):
                if not len(total):
                    total = seen.new_zeros(len(seen), rows, width)
                total[:, :, left : left + seen.shape[2]] += seen
            final = following - top
            for first, last in _row_ranges(final, len(total) * width):
                counts = in_rows[top + first : top + last, None] * in_columns
                yield top + first, total[:, first:last] / counts
            total[:, : rows - final] = total[:, final:].clone()
            total[:, rows - final :] = 0

    def _see_all(
        self, forward: Forward, windows: Sequence[Tensor], at_once: int, *, turned: bool
    ) -> Iterator[Tensor]:
        """Probabilities of every window [3, h, w], at its own size."""
        for first in range(0, len(windows), at_once):
            group = windows[first : first + at_once]
            upright = [window.transpose(1, 2) if turned else window for window in group]
            everything = self._see(forward, torch.stack([self._pad(each) for each in upright]))
            for window, padded in zip(group, everything, strict=True):
                seen = padded.transpose(1, 2) if turned else padded
                yield seen[:, : window.shape[1], : window.shape[2]]

    @torch.no_grad()
    def _see(self, forward: Forward, images: Tensor) -> Tensor:
        """Probabilities [B, C, H, W] of images of the window's size, over scales and flips."""
        total: Tensor | None = None
        for scale in self.scales:
            scaled = images if scale == 1 else self._scale(images, scale)
            seen = self.decoder(forward(scaled), self.window)
            total = seen if total is None else total.add_(seen)
            if self.flip:
                total += self.decoder(forward(scaled.flip(-1)), self.window).flip(-1)
        assert total is not None  # there is at least one scale
        return total.div_(len(self.scales) * (1 + self.flip))

    def _scale(self, images: Tensor, scale: float) -> Tensor:
        height, width = (int((side - 1) * scale + 1) for side in self.window)
        return resize_map(images, ImageSize(height, width), self.align_corners)

    def _pad(self, picture: Tensor) -> Tensor:
        """The picture over the mean, which is 0 in normalised pictures."""
        height, width = picture.shape[-2:]
        return F.pad(picture, (0, self.window.width - width, 0, self.window.height - height))

    def _shrink(self, picture: Tensor) -> Tensor:
        """The picture [3, H, W], scaled down with its aspect kept where it is too large."""
        if self._fits(picture):
            return picture
        height, width = picture.shape[-2:]
        factor = min(self.window.height / height, self.window.width / width)
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        return F.interpolate(picture[None], size, mode="bilinear", antialias=True)[0]


def assemble(strips: Iterable[Strip], sizes: Sequence[ImageSize]) -> list[Tensor]:
    """The most probable class of every pixel: label maps [H, W] uint8 of the given sizes."""
    label_maps: dict[int, Tensor] = {}
    for position, top, probabilities, left in strips:
        if position not in label_maps:
            label_maps[position] = torch.full(
                sizes[position], IGNORE_INDEX, dtype=torch.uint8, device=probabilities.device
            )
        # The same as argmax, and several times faster over the first dimension.
        labels = probabilities.max(dim=0).indices
        rows, columns = labels.shape
        label_maps[position][top : top + rows, left : left + columns] = labels
    return [label_maps[position] for position in range(len(sizes))]


def _starts(length: int, window: int, overlap: float) -> list[int]:
    """First pixels of windows over `length` pixels; the last one ends with them."""
    step = max(1, int(window * (1 - overlap)))
    last = max(0, length - window)
    return [*range(0, last, step), last]


def _coverage(starts: Sequence[int], window: int, length: int, device: torch.device) -> Tensor:
    """In how many windows each of `length` pixels lies."""
    counts = torch.zeros(length)
    for start in starts:
        counts[start : start + window] += 1
    return counts.to(device)


def _row_ranges(rows: int, values_per_row: int) -> Iterator[tuple[int, int]]:
    """First and one past the last row of strips that bound the memory."""
    step = max(1, _STRIP_VALUES // values_per_row)
    for first in range(0, rows, step):
        yield first, min(first + step, rows)


def _resize_rows(maps: Tensor, size: ImageSize, top: int, bottom: int) -> Tensor:
    """Rows from `top` to before `bottom` of maps [C, h, w] resized to `size`.

    Pixel centres are half-way, as where the picture was scaled down: nothing moves.
    """
    height = maps.shape[1]
    places = torch.arange(top, bottom, dtype=torch.float64, device=maps.device)
    places = ((places + 0.5) * height / size.height - 0.5).clamp(min=0)
    above = places.long().clamp(max=height - 1)
    below = (above + 1).clamp(max=height - 1)
    weight = (places - above)[:, None].to(maps)
    rows = maps[:, above] * (1 - weight) + maps[:, below] * weight
    return resize_map(rows[None], ImageSize(bottom - top, size.width), align_corners=False)[0]
