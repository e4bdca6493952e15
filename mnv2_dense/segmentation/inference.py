"""From pictures of any size to class probabilities, through a network of one input size."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mnv2_dense.ops.labels import Places, places_of, shrunken_pixels
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.segmentation.decode import Decoder, Part, locate
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.segmentation.strips import CellStrip, LogitStrip, PixelStrip, Strip
from mnv2_dense.structures import ImageSize

Forward = Callable[[Tensor], SegmenterOutputs]
"""Normalised images [B, 3, H, W] to the network's outputs."""

_STRIP_VALUES = 2**22
"""Probabilities in a strip of a picture: 16 MB, whatever the picture's size."""


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

        Of a batch only logits are held, at every scale and flip, in cells; probabilities are
        computed strip by strip, as they are asked for. A picture larger than the window is held in
        bands of windows across its longer side, with which the memory does not grow either, and
        given in strips of columns where it is wider than high.

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
        shown = [self._shrink(picture) for picture in pictures.values()]
        seen = self._see(forward, torch.stack([self._pad(picture) for picture in shown]))
        for (position, picture), small, views in zip(pictures.items(), shown, seen, strict=True):
            part = Part(*(range(side) for side in small.shape[1:]))
            if not self._fits(picture):
                probabilities = self._average(views, part)
                yield from _enlarge(position, probabilities, ImageSize(*picture.shape[1:]))
            elif len(views) == 1:
                places = locate(views[0], self.window, part, self.decoder.align_corners)
                yield LogitStrip(position, 0, 0, views[0], *places)
            else:
                for rows, values in self._average_rows(views, part):
                    yield PixelStrip(position, rows.start, 0, values)

    def _run_large(
        self, forward: Forward, picture: Tensor, position: int, at_once: int
    ) -> Iterator[Strip]:
        """Strips of a picture seen through windows, along its longer side."""
        if picture.shape[2] <= picture.shape[1]:
            for top, rows in self._run_windows(forward, picture, at_once):
                yield PixelStrip(position, top, 0, rows)
        else:
            turned = self._run_windows(forward, picture.transpose(1, 2), at_once, turned=True)
            for left, columns in turned:
                yield PixelStrip(position, 0, left, columns.transpose(1, 2))

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
            seen = self._see_all(forward, windows, at_once, turned)
            for left, views in zip(lefts, seen, strict=True):
                if not len(total):
                    total = _nothing(views[0], rows, width, turned)
                under = total[:, :, left : left + window.width]
                self._add(views, under.transpose(1, 2) if turned else under)
            final = following - top
            for first, last in _row_ranges(final, len(total) * width):
                counts = in_rows[top + first : top + last, None] * in_columns
                yield top + first, total[:, first:last] / counts
            total[:, : rows - final] = total[:, final:].clone()
            total[:, rows - final :] = 0

    def _see_all(
        self, forward: Forward, windows: Sequence[Tensor], at_once: int, turned: bool
    ) -> Iterator[list[Tensor]]:
        """The views of every window [3, h, w], upright."""
        for first in range(0, len(windows), at_once):
            group = windows[first : first + at_once]
            upright = [window.transpose(1, 2) if turned else window for window in group]
            yield from self._see(forward, torch.stack([self._pad(each) for each in upright]))

    @torch.no_grad()
    def _see(self, forward: Forward, images: Tensor) -> list[list[Tensor]]:
        """Logits [C, h, w] of images of the window's size: a list per image, over scales and flips.

        They are kept in cells, as few as a hundredth of the pixels. Mirrored cells are up-sampled
        to mirrored pixels, so that they are turned back here.
        """
        views: list[Tensor] = []
        for scale in self.scales:
            scaled = images if scale == 1 else self._scale(images, scale)
            views.append(forward(scaled).class_logits)
            if self.flip:
                views.append(forward(scaled.flip(-1)).class_logits.flip(-1))
        return [list(each) for each in zip(*views, strict=True)]

    def _average(self, views: Sequence[Tensor], part: Part) -> Tensor:
        """Probabilities [C, rows, columns] of a part of the window."""
        total: Tensor | None = None
        for view in views:
            (seen,) = self.decoder(SegmenterOutputs(view[None]), self.window, part)
            total = seen if total is None else total.add_(seen)
        assert total is not None  # There is at least one scale.
        return total.div_(len(views))

    def _average_rows(self, views: Sequence[Tensor], part: Part) -> Iterator[tuple[range, Tensor]]:
        """The same for some rows after the other, and which they are."""
        for first, last in _row_ranges(len(part.rows), len(views[0]) * len(part.columns)):
            rows = part.rows[first:last]
            yield rows, self._average(views, Part(rows, part.columns))

    def _add(self, views: Sequence[Tensor], total: Tensor) -> None:
        """Adds the probabilities of a window to those [C, rows, columns] of its pixels."""
        part = Part(*(range(side) for side in total.shape[1:]))
        for rows, values in self._average_rows(views, part):
            total[:, rows.start : rows.stop] += values

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


def _starts(length: int, window: int, overlap: float) -> list[int]:
    """First pixels of windows over `length` pixels; the last one ends with them."""
    step = max(1, int(window * (1 - overlap)))
    last = max(0, length - window)
    return [*range(0, last, step), last]


def _nothing(logits: Tensor, rows: int, columns: int, turned: bool) -> Tensor:
    """Zeros [C, rows, columns] float32 that lie upright in memory where they are turned, too.

    What is along a row of the picture is added up and compared several times faster.
    """
    sides = (columns, rows) if turned else (rows, columns)
    zeros = logits.new_zeros(len(logits), *sides, dtype=torch.float32)
    return zeros.transpose(1, 2) if turned else zeros


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


def _enlarge(position: int, probabilities: Tensor, size: ImageSize) -> Iterator[Strip]:
    """Strips of a picture of a size by its probabilities [C, h, w] when it was scaled down.

    Pixel centres are half-way, as where it was scaled down: nothing moves.
    """
    rows, columns = (
        places_of(shrunken_pixels(side, cells), cells, cells, align_corners=False)
        for side, cells in zip(size, probabilities.shape[1:], strict=True)
    )
    for top, bottom in _row_ranges(size.height, len(probabilities) * size.width):
        lower = rows.lower[top:bottom]
        cells = probabilities[:, lower[0] : lower[-1] + 2]
        strip_rows = Places(lower - lower[0], rows.share[top:bottom])
        yield CellStrip(position, top, 0, cells, strip_rows, columns)
