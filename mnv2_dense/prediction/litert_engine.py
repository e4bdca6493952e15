"""LiteRT (TFLite) files run by the LiteRT interpreter."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mnv2_dense.errors import UserError
from mnv2_dense.importing.tflite_file import bounded_range, open_file, read_text, refuse_damage
from mnv2_dense.prediction.engine import DetectorArrays, Engine, SegmenterArrays
from mnv2_dense.prediction.manifest import KEY, MAX_BYTES, Manifest, read_manifest

CHATTER = ("INFO: ", "WARNING: ", "W0000 ", "I0000 ")
"""How lines of the runtime begin that are no errors; Python's logging has no space there."""
# A place in the schema's tables, which its generated code does not name.
_METADATA_NAME = 4
_streams = threading.Lock()


class LiteRtEngine(Engine):
    """An exported .tflite file, run on the CPU one picture at a time.

    Args:
        path: The file.
        threads: Of one call; None takes all cores.

    Raises:
        UserError: The file is damaged or was not exported by mnv2_dense, or LiteRT is not
            installed.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        try:
            import ai_edge_litert
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise UserError(
                f"{path}: LiteRT is not installed; pip install 'mnv2-dense[litert]'"
            ) from error
        self._path = path
        self.name = f"LiteRT {ai_edge_litert.__version__}"
        self.manifest = read_manifest(_read_text(path), path)
        try:
            with quiet_runtime():
                self._interpreter = Interpreter(
                    model_path=str(path), num_threads=threads or os.cpu_count()
                )
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{path}: cannot be opened by LiteRT; export it again") from error
        self._input, self._outputs = _places(self._interpreter, self.manifest, path)

    @override
    def run(
        self, images: NDArray[np.uint8], score_threshold: float = 0.0
    ) -> DetectorArrays | SegmenterArrays:
        if self.manifest.task == "segmentation":
            results = [self._run(image) for image in images]
            label_maps, logits = (np.concatenate(each) for each in zip(*results, strict=True))
            return SegmenterArrays(label_maps, logits.transpose(0, 3, 1, 2))
        found = [_detections(self._run(image), score_threshold) for image in images]
        return DetectorArrays(*(np.stack(each) for each in zip(*found, strict=True)))

    def _run(self, image: NDArray[np.uint8]) -> list[np.ndarray]:
        try:
            self._interpreter.set_tensor(self._input, image[None])
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:  # In damage that opening does not see.
            raise UserError(f"{self._path}: cannot be run by LiteRT: {error}") from error
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def _read_text(path: Path) -> str | None:
    """The manifest in a file's metadata, None where there is none."""
    with refuse_damage(path):
        model = open_file(path).model
        for index in bounded_range(model.MetadataLength(), "metadata"):
            entry = model.Metadata(index)
            if read_text(entry, _METADATA_NAME) == KEY:
                content = model.Buffers(entry.Buffer()).DataAsNumpy()
                bounded_range(len(content), "bytes of what it says of itself", MAX_BYTES)
                return content.tobytes().decode()
    return None


def _places(interpreter: Any, manifest: Manifest, path: Path) -> tuple[int, list[int]]:
    """Indices of the input and of the outputs.

    Raises:
        UserError: They are not those of the manifest's task.
    """
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if manifest.task == "segmentation":
        # The label map first, as in `SegmenterArrays`.
        outputs.sort(key=_is_float)
    forms = [(len(each["shape"]), np.dtype(each["dtype"]).name) for each in outputs]
    if (
        [(tuple(each["shape"]), each["dtype"]) for each in inputs]
        != [((1, *manifest.input_size, 3), np.uint8)]
        or forms != _FORMS[manifest.task]
        or 0 in (size for each in outputs for size in each["shape"])
    ):
        raise UserError(f"{path}: its network is not what it says of itself; export it again")
    return inputs[0]["index"], [each["index"] for each in outputs]


def _is_float(details: dict[str, Any]) -> bool:
    return np.dtype(details["dtype"]).kind == "f"


_FORMS = {
    "segmentation": [(3, "uint8"), (4, "float32")],
    "detection": [(3, "float32"), (2, "float32"), (2, "float32"), (1, "float32")],
}
"""Dimensions and types of the outputs."""


def _detections(
    outputs: list[np.ndarray], score_threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, scores and labels of one picture, see `DetectorArrays`, out of the operation's own."""
    (yxyx,), (classes,), (scores,), (count,) = outputs
    boxes = yxyx[:, [1, 0, 3, 2]].clip(0, 1)
    seen = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & (scores >= score_threshold)
    (kept,) = (seen & (np.arange(len(seen)) < count)).nonzero()
    results = np.zeros_like(boxes), np.zeros_like(scores), np.zeros(len(seen), np.int64)
    for result, values in zip(results, (boxes, scores, classes), strict=True):
        result[: len(kept)] = values[kept]
    return results


@contextmanager
def quiet_runtime() -> Iterator[None]:
    """Keeps the runtime's remarks from the terminal; what else is written there comes through.

    It writes them from C++, past `sys.stderr`.
    """
    with _streams, tempfile.TemporaryFile() as written:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            lines = written.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in lines if not line.startswith(CHATTER)))
