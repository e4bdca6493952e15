"""OpenVINO and ONNX files run by OpenVINO."""

import sys
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
from mnv2_dense.prediction.manifest import KEY, Manifest, read_manifest
from mnv2_dense.prediction.openvino_graph import adapt

# Where the reader of ONNX files keeps their metadata.
_PLACES = ([KEY], ["framework", KEY])


class OpenVinoEngine(Engine):
    """An exported .xml file, with its .bin beside it, or an .onnx file; run on the CPU.

    Args:
        path: The file.
        threads: Of one call; None takes all cores.
        content: What is opened in the file's place: a checkpoint in ONNX's form.

    Raises:
        UserError: The file is damaged or was not exported by mnv2_dense, or OpenVINO is not
            installed.
    """

    def __init__(
        self, path: Path, *, threads: int | None = None, content: bytes | None = None
    ) -> None:
        self._path = path
        openvino = import_openvino(path)
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        if path.suffix.lower() == ".xml" and not path.with_suffix(".bin").is_file():
            raise UserError(f"{path}: its weights, {path.with_suffix('.bin').name}, are not beside")
        self.name = f"OpenVINO {openvino.__version__.split('-')[0]}"
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
        }
        damaged = f"{path}: cannot be opened by OpenVINO; it is damaged or another kind of file"
        try:
            core = openvino.Core()
            model = core.read_model(path if content is None else content)
        except Exception as error:  # It raises RuntimeError, and what parsers raise.
            raise UserError(damaged) from error
        self.manifest = read_manifest(_read_text(model), path)
        try:
            if content is not None or path.suffix.lower() == ".onnx":
                _check_precision(self.manifest, path)
                adapt(openvino, model, self.manifest)
            _check_ends(model, self.manifest, path)
            self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        except UserError:
            raise
        except Exception as error:
            raise UserError(damaged) from error

    @override
    def run(
        self, images: NDArray[np.uint8], score_threshold: float = 0.0
    ) -> DetectorArrays | SegmenterArrays:
        feed: dict[str, Any] = {IMAGES: np.ascontiguousarray(images)}
        detects = self.manifest.task == "detection"
        if detects:
            feed[SCORE_THRESHOLD] = np.asarray(score_threshold, np.float32)
        try:
            self._request.infer(feed)
        except RuntimeError as error:  # In damage that opening does not see.
            first = str(error).splitlines()[0]
            raise UserError(f"{self._path}: cannot be run by OpenVINO: {first}") from error
        names = OUTPUTS[self.manifest.task]
        # The next call writes over what the tensors show.
        values = [self._request.get_tensor(name).data.copy() for name in names]
        return DetectorArrays(*values) if detects else SegmenterArrays(*values)


def import_openvino(path: Path) -> Any:
    """The library, kept from reporting its use over the network, which it does by default.

    Raises:
        UserError: It is not installed.
    """
    # None is a module that cannot be imported; who has imported it before has made a choice.
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)
    try:
        import openvino
    except ImportError as error:
        raise UserError(
            f"{path}: OpenVINO is not installed; pip install 'mnv2-dense[openvino]'"
        ) from error
    return openvino


def _read_text(model: Any) -> str | None:
    """The manifest in a model, None where there is none."""
    for place in _PLACES:
        if model.has_rt_info(place):
            return str(model.get_rt_info(place).value)
    return None


def _check_precision(manifest: Manifest, path: Path) -> None:
    """Refuses 8 bits that ONNX Runtime's own rounding made: here an AP of 0.160 became 0.105."""
    if manifest.precision != "float32":
        raise UserError(
            f"{path}: an .onnx file in 8 bits is for ONNX Runtime, and loses accuracy in OpenVINO; "
            "open it with engine=onnx, or export with --format openvino --int8"
        )


def _check_ends(model: Any, manifest: Manifest, path: Path) -> None:
    """Refuses a network whose inputs and outputs are not those of the manifest's task."""
    inputs, outputs = ([each.any_name for each in ends] for ends in (model.inputs, model.outputs))
    wanted = {IMAGES, SCORE_THRESHOLD} if manifest.task == "detection" else {IMAGES}
    if set(inputs) != wanted or set(outputs) != set(OUTPUTS[manifest.task]):
        raise UserError(f"{path}: its network is not what it says of itself; export it again")
