"""Which engine opens a model file as it is: the best that is installed, or one asked for."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.prediction.engine import Engine, check_count
from mnv2_dense.prediction.predictor import Predictor


class EngineKind(NamedTuple):
    """An engine by its place, so that only what is used is imported.

    module: Below `mnv2_dense.prediction`. name: Of the class there. library: That it needs.
    extra: Of this package, with which that is installed. apart: Whether several of them are best
    opened to run a stream, of one thread each.
    """

    module: str
    name: str
    library: str
    extra: str = ""
    apart: bool = False


ENGINES = {
    "onnx": EngineKind("onnx_engine", "OnnxEngine", "onnxruntime", "onnx", apart=True),
    "openvino": EngineKind("openvino_engine", "OpenVinoEngine", "openvino", "openvino", apart=True),
    "litert": EngineKind("litert_engine", "LiteRtEngine", "ai_edge_litert", "litert", apart=True),
    "torch_export": EngineKind("torch_export_engine", "TorchExportEngine", "torch"),
    "torch": EngineKind("torch_engine", "TorchEngine", "torch"),
}
SUFFIXES = {
    ".onnx": ("onnx", "openvino"),
    ".xml": ("openvino",),
    ".tflite": ("litert",),
    ".pt2": ("torch_export",),
}
"""Engines of an exported file by its name, the best one first; any other file is a checkpoint."""
PARTS = {".xml": (".bin",)}
"""How further files of a model end, which stand beside the first, by its name."""
CONVERTED = ("onnx", "openvino")
"""Engines that a checkpoint can be converted for, the best one first; see `exporting.loading`."""

Opener = Callable[..., Engine]
"""Opens an engine on some `threads`."""


def is_exported(path: Path) -> bool:
    """Whether a file's name is one of an exported model, and not of a checkpoint."""
    return path.suffix.lower() in SUFFIXES


def model_files(path: Path) -> list[Path]:
    """The file of a model, and those that stand beside it."""
    return [path, *(path.with_suffix(part) for part in PARTS.get(path.suffix.lower(), ()))]


def load(
    path: str | Path,
    engine: str | None = None,
    *,
    threads: int | None = None,
    device: str | None = None,
    overrides: Sequence[str] = (),
) -> Predictor:
    """Opens an exported model, or a checkpoint by torch; see `exporting.loading.load`.

    Raises:
        UserError: The file is missing, damaged or of no known kind, the engine does not open such
            files or is not installed, or an argument is not allowed.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint or exported model")
    name = choose_engine(path, engine)
    count = check_threads(threads)
    opener: Opener = partial(engine_class(name), path)
    if name == "torch":
        return assemble(name, partial(opener, device=device or "cpu", overrides=overrides), count)
    if device not in (None, "cpu"):
        raise UserError(f"{path}: device={device} is for checkpoints; this file runs on the CPU")
    return assemble(name, opener, count)


def assemble(name: str, opener: Opener, threads: int) -> Predictor:
    """A predictor whose engines are opened as is best for their kind."""
    apart = ENGINES[name].apart and threads > 1
    more = partial(opener, threads=1) if apart else None
    return Predictor(opener(threads=threads), threads, more)


def check_threads(threads: int | None) -> int:
    """The number of threads; None for the default.

    Raises:
        UserError: It is no whole number, or below 1.
    """
    return default_threads() if threads is None else check_count("threads", threads)


def choose_engine(path: Path, engine: str | None = None) -> str:
    """Name of the engine that opens a file.

    Raises:
        UserError: The one asked for does not open it, or none that does is installed.
    """
    able = SUFFIXES.get(path.suffix.lower(), ("torch", *CONVERTED))
    if engine is not None and engine not in ENGINES:
        raise UserError(f"engine={engine} is not known; allowed: {', '.join(sorted(ENGINES))}")
    if engine is not None and engine not in able:
        kind = f"a {path.suffix} file" if is_exported(path) else "a checkpoint"
        raise UserError(
            f"{path}: {kind} is opened by {' or '.join(able)}, not by {engine}; mnv2-dense export "
            "writes files for the other engines out of a checkpoint"
        )
    wanted = able if engine is None else (engine,)
    for name in wanted:
        if find_spec(ENGINES[name].library) is not None:
            return name
    extra = ENGINES[wanted[0]].extra
    raise UserError(
        f"{path}: needs {ENGINES[wanted[0]].library}, which is not installed; "
        f"pip install 'mnv2-dense[{extra}]'"
    )


def engine_class(name: str) -> Opener:
    """What opens an engine, imported for it."""
    kind = ENGINES[name]
    return getattr(import_module(f"mnv2_dense.prediction.{kind.module}"), kind.name)


def default_threads() -> int:
    """Threads where no number is asked for: `OMP_NUM_THREADS`, else one per core."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
