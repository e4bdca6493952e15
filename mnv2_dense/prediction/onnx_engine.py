"""ONNX files run by ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mnv2_dense.errors import UserError
from mnv2_dense.prediction.engine import (
    IMAGES,
    OUTPUTS,
    SCORE_THRESHOLD,
    DetectorArrays,
    Engine,
    SegmenterArrays,
)
from mnv2_dense.prediction.manifest import KEY, read_manifest


class OnnxEngine(Engine):
    """An exported .onnx file, run on the CPU.

    Args:
        path: The file.
        threads: Of one call; None takes all cores.
        content: What is opened in the file's place: a checkpoint in ONNX's form.

    Raises:
        UserError: The file is damaged or was not exported by mnv2_dense, or ONNX Runtime is not
            installed.
    """

    def __init__(
        self, path: Path, *, threads: int | None = None, content: bytes | None = None
    ) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(
                f"{path}: ONNX Runtime is not installed; pip install 'mnv2-dense[onnx]'"
            ) from error
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                content or str(path), options, providers=["CPUExecutionProvider"]
            )
            metadata = self._session.get_modelmeta().custom_metadata_map
        except Exception as error:  # ONNX Runtime's errors have no common base.
            raise UserError(
                f"{path}: cannot be opened by ONNX Runtime; it is damaged or another kind of file"
            ) from error
        self.name = f"ONNX Runtime {onnxruntime.__version__}"
        self._path = path
        self.manifest = read_manifest(metadata.get(KEY), path)
        self._outputs = OUTPUTS[self.manifest.task]
        if not set(self._outputs) <= {each.name for each in self._session.get_outputs()}:
            raise UserError(f"{path}: damaged, it does not give what it says; export it again")

    @override
    def run(
        self, images: NDArray[np.uint8], score_threshold: float = 0.0
    ) -> DetectorArrays | SegmenterArrays:
        feed: dict[str, Any] = {IMAGES: images}
        detects = self.manifest.task == "detection"
        if detects:
            feed[SCORE_THRESHOLD] = np.asarray(score_threshold, np.float32)
        try:
            found: Any = self._session.run(list(self._outputs), feed)
        except Exception as error:  # ONNX Runtime's errors have no common base.
            size = " x ".join(map(str, images.shape))
            raise UserError(
                f"{self._path}: cannot be run on pictures {size}; it is damaged or of another size"
            ) from error
        return DetectorArrays(*found) if detects else SegmenterArrays(*found)
