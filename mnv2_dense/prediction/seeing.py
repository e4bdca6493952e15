"""From decoded pictures to results, whichever engine runs the network: prepare, run, finish."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mnv2_dense.drawing import Picture
from mnv2_dense.ops.labels import decode_labels, places_of, shrunken_pixels
from mnv2_dense.prediction.decoding import Window, average_windows
from mnv2_dense.prediction.engine import (
    DetectorArrays,
    SegmenterArrays,
    check_detections,
    check_labels,
)
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.preparing import (
    fits,
    pad_picture,
    resize_picture,
    shrink_to_fit,
    window_starts,
)
from mnv2_dense.prediction.results import DetectionResult, Result, SegmentationResult, Times
from mnv2_dense.segmentation.draw import LabelMap
from mnv2_dense.structures import ImageSize

Run = Callable[[NDArray[np.uint8], float], DetectorArrays | SegmenterArrays]
"""See `Engine.run`."""


class Shown(NamedTuple):
    """A picture before the network.

    name: Its path, or what it is called. picture: Its pixels. seconds: That reading them took.
    in_memory: Whether it is of no file that can be read again.
    """

    name: str
    picture: Picture
    seconds: float
    in_memory: bool

    @property
    def kept(self) -> Picture | None:
        """The picture, if its result must hold it to be drawn."""
        return self.picture if self.in_memory else None


class Sight(ABC):
    """What is done around a network, as its manifest says.

    Args:
        manifest: The network's.
        engine: Name of what runs it.
    """

    def __init__(self, manifest: Manifest, engine: str) -> None:
        self.manifest = manifest
        self.engine = engine
        self.size = manifest.input_size

    @abstractmethod
    def see(self, run: Run, shown: Sequence[Shown], score_threshold: float) -> list[Result]:
        """Results of one or more pictures, shown to the network together."""

    def fill(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A batch, filled up with black where the network takes only more pictures at once."""
        missing = (self.manifest.batch or len(images)) - len(images)
        return np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else images


class DetectorSight(Sight):
    """Pictures resized to the input; boxes in shares of it brought to pixels."""

    @override
    def see(self, run: Run, shown: Sequence[Shown], score_threshold: float) -> list[Result]:
        start = perf_counter()
        resize = self.manifest.resize
        images = np.stack([resize_picture(each.picture, self.size, resize) for each in shown])
        prepared = perf_counter()
        found = run(self.fill(images), score_threshold)
        assert isinstance(found, DetectorArrays)
        check_detections(found, len(images), len(self.manifest.categories))
        ran = perf_counter()
        results: list[Result] = []
        for each, boxes, scores, labels in zip(shown, *found, strict=False):
            kept = (scores > 0) & (scores >= score_threshold)
            height, width = each.picture.shape[:2]
            scale = np.array([width, height, width, height], np.float32)
            times = _share(each.seconds, start, prepared, ran, len(shown))
            results.append(
                DetectionResult(
                    source=each.name,
                    size=ImageSize(height, width),
                    categories=self.manifest.categories,
                    engine=self.engine,
                    times=times,
                    picture=each.kept,
                    boxes=boxes[kept] * scale,
                    scores=scores[kept],
                    labels=labels[kept],
                )
            )
        return results


class SegmenterSight(Sight):
    """Pictures padded to the input; larger ones scaled down, or seen through windows."""

    def __init__(self, manifest: Manifest, engine: str) -> None:
        super().__init__(manifest, engine)
        self.align_corners = bool(manifest.decoding["align_corners"])
        self.shrinks = manifest.decoding["large_pictures"] == "shrink"
        self.overlap = float(manifest.decoding["window_overlap"])

    @override
    def see(self, run: Run, shown: Sequence[Shown], score_threshold: float) -> list[Result]:
        whole = [each for each in shown if self.shrinks or fits(each.picture, self.size)]
        results = iter(self._see_whole(run, whole) if whole else [])
        return [
            next(results)
            if self.shrinks or fits(each.picture, self.size)
            else self._see_large(run, each, len(shown))
            for each in shown
        ]

    def _see_whole(self, run: Run, shown: Sequence[Shown]) -> list[Result]:
        start = perf_counter()
        placed = [self._place(each.picture) for each in shown]
        images = np.stack([image for image, _ in placed])
        prepared = perf_counter()
        found = run(self.fill(images), 0.0)
        assert isinstance(found, SegmenterArrays)
        check_labels(found, images, len(self.manifest.categories))
        ran = perf_counter()
        label_maps = [
            self._decode(label_map, logits, size, ImageSize(*each.picture.shape[:2]))
            for each, (_, size), label_map, logits in zip(shown, placed, *found, strict=False)
        ]
        return [
            self._result(each, label_map, _share(each.seconds, start, prepared, ran, len(shown)))
            for each, label_map in zip(shown, label_maps, strict=True)
        ]

    def _place(self, picture: Picture) -> tuple[Picture, ImageSize]:
        """A picture on the input, and its size there."""
        small = shrink_to_fit(picture, self.size)
        padded = pad_picture(small, self.size, self.manifest.mean)
        return padded, ImageSize(*small.shape[:2])

    def _decode(
        self, label_map: LabelMap, logits: NDArray[np.float32], shrunken: ImageSize, size: ImageSize
    ) -> LabelMap:
        """The label map of a picture of `size` that lies on the input as `shrunken`."""
        if shrunken == size:
            return label_map[: size.height, : size.width].copy()
        rows, columns = (
            places_of(shrunken_pixels(length, small), window, cells, self.align_corners)
            for length, small, window, cells in zip(
                size, shrunken, self.size, logits.shape[1:], strict=True
            )
        )
        return decode_labels(logits, rows, columns)

    def _see_large(self, run: Run, shown: Shown, at_once: int) -> Result:
        """A picture seen through overlapping windows, `at_once` of them at a time.

        Pixels of one window are decided as it is seen; of the others the logits are kept, which
        are small, until all windows are there.
        """
        start = perf_counter()
        picture = shown.picture
        label_map = np.empty(picture.shape[:2], np.uint8)
        windows: list[Window] = []
        for places in _groups(self._windows(picture), at_once):
            parts = [
                picture[top : top + self.size.height, left : left + self.size.width]
                for top, left in places
            ]
            images = [pad_picture(part, self.size, self.manifest.mean) for part in parts]
            found = run(self.fill(np.stack(images)), 0.0)
            assert isinstance(found, SegmenterArrays)
            check_labels(found, np.stack(images), len(self.manifest.categories))
            for (top, left), part, seen, logits in zip(places, parts, *found, strict=False):
                height, width = part.shape[:2]
                label_map[top : top + height, left : left + width] = seen[:height, :width]
                windows.append(Window(top, left, logits.copy()))
        ran = perf_counter()
        average_windows(windows, label_map, self.size, self.align_corners)
        return self._result(shown, label_map, _share(shown.seconds, start, start, ran, 1))

    def _windows(self, picture: Picture) -> list[tuple[int, int]]:
        tops, lefts = (
            window_starts(length, window, self.overlap)
            for length, window in zip(picture.shape[:2], self.size, strict=True)
        )
        return [(top, left) for top in tops for left in lefts]

    def _result(self, shown: Shown, label_map: LabelMap, times: Times) -> Result:
        return SegmentationResult(
            source=shown.name,
            size=ImageSize(*label_map.shape),
            categories=self.manifest.categories,
            engine=self.engine,
            times=times,
            picture=shown.kept,
            label_map=label_map,
        )


def _share(read: float, start: float, prepared: float, ran: float, pictures: int) -> Times:
    parts = (prepared - start, ran - prepared, perf_counter() - ran)
    return Times(read, *(part / pictures for part in parts))


def _groups(places: Sequence[tuple[int, int]], at_once: int) -> Iterator[Sequence[tuple[int, int]]]:
    for first in range(0, len(places), at_once):
        yield places[first : first + at_once]
