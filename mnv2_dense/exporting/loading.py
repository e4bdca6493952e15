"""Models opened by the best engine: a checkpoint is converted for it, in memory."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mnv2_dense.errors import UserError
from mnv2_dense.prediction import loading
from mnv2_dense.prediction.loading import CONVERTED, assemble, engine_class, is_exported
from mnv2_dense.prediction.predictor import Predictor

if TYPE_CHECKING:
    from mnv2_dense.exporting.verify import Verification
    from mnv2_dense.prediction.torch_engine import TorchEngine

LIBRARIES = ("onnx", "onnxscript")
"""That a conversion needs beside the engine's own."""
COMPARED = 2
"""Pictures that a conversion is compared with PyTorch on: enough to see a wrong operation."""

_log = logging.getLogger(__name__)
# PyTorch's exporter and its number of threads belong to the whole process.
_converting = threading.Lock()


def load(
    path: str | Path,
    engine: str | None = None,
    *,
    threads: int | None = None,
    device: str | None = None,
    overrides: Sequence[str] = (),
) -> Predictor:
    """Opens a checkpoint or an exported model, to show pictures to it.

    Args:
        path: A checkpoint of a run, or what `mnv2-dense export` wrote: `.onnx`, `.xml` (OpenVINO),
            `.tflite` or `.pt2` (torch.export).
        engine: `onnx` (ONNX Runtime), `openvino`, `litert`, `torch_export` or `torch`; by default
            the best one for the file that is installed. For the first two a checkpoint is
            converted, which takes a second or two, and compared with PyTorch.
        threads: That the network runs on, and that a stream is shared by; by default
            `OMP_NUM_THREADS`, else one per core.
        device: Of a checkpoint: where torch runs it, as `cuda`; the CPU by default.
        overrides: Changes to the config of a checkpoint, `key.path=value`.

    Raises:
        UserError: The file is missing, damaged or of no known kind, the engine does not open such
            files or is not installed, or an argument is not allowed.
    """
    return prepare(path, engine, threads=threads, device=device, overrides=overrides).open(threads)


@dataclass(frozen=True)
class Opening:
    """How a model is opened, here or in another process that this is sent to.

    Attributes:
        path: Its file.
        engine: What runs it; None for the best one for the file as it is.
        device: Of a checkpoint: where torch runs it.
        overrides: Changes to the config of a checkpoint.
        content: Of a checkpoint that was converted for the engine: it, in ONNX's form.
    """

    path: Path
    engine: str | None = None
    device: str | None = None
    overrides: Sequence[str] = ()
    content: bytes | None = field(default=None, repr=False)

    def open(self, threads: int | None = None) -> Predictor:
        """The model on some threads; see `load`."""
        if self.content is None or self.engine is None:
            options = {"device": self.device, "overrides": self.overrides}
            return loading.load(self.path, self.engine, threads=threads, **options)
        opener = partial(engine_class(self.engine), self.path, content=self.content)
        return assemble(self.engine, opener, loading.check_threads(threads))


def prepare(
    path: str | Path,
    engine: str | None = None,
    *,
    threads: int | None = None,
    device: str | None = None,
    overrides: Sequence[str] = (),
) -> Opening:
    """Does what `load` need do but once for several processes: a checkpoint is converted here.

    Raises:
        UserError: As of `load`; a file that is opened as it is, is not looked at yet.
    """
    path = Path(path)
    as_it_is = Opening(path, engine, device, tuple(overrides))
    if not path.is_file() or is_exported(path):
        return as_it_is
    on_cpu = str(device or "cpu") == "cpu"
    if engine in CONVERTED:
        if not on_cpu:
            raise UserError(
                f"{path}: device={device} is for engine=torch; {engine} runs on the CPU"
            )
        loading.choose_engine(path, engine)
        _check_libraries(path, engine)
        return replace(as_it_is, content=_convert(path, engine, threads, overrides))
    best = _best() if engine is None and on_cpu else None
    if best is not None:
        try:
            content = _convert(path, best, threads, overrides)
            return replace(as_it_is, engine=best, content=content)
        except NotConvertedError as error:
            _log.warning("%s; PyTorch runs it", error)
    return replace(as_it_is, engine=engine or "torch")


class NotConvertedError(UserError):
    """A network that another engine cannot run, or runs to other results."""


def _best() -> str | None:
    """The first engine that checkpoints can be converted for here."""
    if _missing_libraries():
        return None
    installed = (name for name in CONVERTED if find_spec(loading.ENGINES[name].library))
    return next(installed, None)


def _check_libraries(path: Path, engine: str) -> None:
    if missing := _missing_libraries():
        raise UserError(
            f"{path}: engine={engine} of a checkpoint needs {missing[0]}, which is not installed; "
            "pip install 'mnv2-dense[onnx]'"
        )


def _missing_libraries() -> list[str]:
    return [library for library in LIBRARIES if find_spec(library) is None]


def _convert(path: Path, engine: str, threads: int | None, overrides: Sequence[str]) -> bytes:
    """A checkpoint brought to an engine, one at a time; see `_convert_alone`."""
    with _converting:
        return _convert_alone(path, engine, threads, overrides)


def _convert_alone(path: Path, engine: str, threads: int | None, overrides: Sequence[str]) -> bytes:
    """A checkpoint in ONNX's form, in which an engine runs it to the same results.

    Raises:
        NotConvertedError: It cannot be, or computes something else there.
        UserError: The checkpoint cannot be opened, or the threads are not allowed.
    """
    # What reads checkpoints and writes graphs takes seconds to import.
    import torch

    from mnv2_dense.prediction.torch_engine import TorchEngine

    count = loading.check_threads(threads)
    before = torch.get_num_threads()
    try:
        reference = TorchEngine(path, overrides=overrides, threads=count)
        content, verification = _write_and_verify(path, engine, reference, count)
    finally:
        torch.set_num_threads(before)
    if not verification.counted:
        raise NotConvertedError(
            f"{path}: not converted for {engine}: the network sees nothing in drawn pictures, by "
            "which it could be compared with PyTorch"
        )
    if not verification.same:
        raise NotConvertedError(
            f"{path}: not converted for {engine}: only {verification.equal:.3%} of its "
            f"{verification.unit} would be those of PyTorch"
            + (f", its logits differing by {verification.noise:.2g}" if verification.noise else "")
        )
    return content


def _write_and_verify(
    path: Path, engine: str, reference: "TorchEngine", threads: int
) -> tuple[bytes, "Verification"]:
    """A network in ONNX's form, and how an engine compares with PyTorch there."""
    from mnv2_dense.exporting.onnx_file import build_model
    from mnv2_dense.exporting.pictures import draw_pictures
    from mnv2_dense.exporting.verify import verify

    manifest = replace(reference.manifest, dynamic_size=False)
    try:
        content = build_model(reference.deployed, manifest).SerializeToString()
        opened = engine_class(engine)(path, content=content, threads=threads)
        return content, verify(opened, reference, draw_pictures(manifest, COMPARED))
    except Exception as error:  # Of two exporters and a runtime; PyTorch can still run it.
        raise NotConvertedError(f"{path}: not converted for {engine}: {error}") from error
