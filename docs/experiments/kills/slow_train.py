"""`tools/train.py` with every write slowed down on purpose, and a trace of what it does.

python docs/experiments/kills/slow_train.py TRACE BYTES_PER_SECOND ARGUMENTS OF train.py ...

The product is as it is; only Python's own `open`, `os.fsync` and `os.replace` are wrapped here.
"""

import builtins
import importlib.util
import io
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

import mnv2_dense.commands.train as command
from mnv2_dense.training.task import DenseTask

PAUSE = 0.03
"""Seconds before and after each flush and rename: time in which a kill finds the files so."""

SLOWED = (".part", ".csv", ".json", ".ckpt", ".txt", ".yaml")
"""What a run writes, but for TensorBoard's file."""


class Trace:
    """Lines of `time event` in a file that outlives the process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, event: str) -> None:
        """Adds a line; nothing is buffered."""
        os.write(self._file, f"{time.monotonic():.4f} {event}\n".encode())


class SlowFile(io.FileIO):
    """An unbuffered file that is written at a limited pace, so that a kill leaves it torn."""

    def __init__(self, path: Any, mode: str, pace: float, trace: Trace) -> None:
        super().__init__(path, mode)
        self._pace, self._trace, self._owed = pace, trace, PAUSE
        trace.note(f"write {Path(path).name}")

    def write(self, content: Any) -> int:
        """Writes all of it, in two parts when a pause is due between them."""
        view = memoryview(content).cast("B")
        self._owed += len(view) / self._pace
        half = len(view) // 2 if self._owed > PAUSE / 2 else 0
        if half:
            super().write(view[:half])
            time.sleep(self._owed)
            self._owed = 0.0
        super().write(view[half:])
        return len(view)

    def close(self) -> None:
        """Tells that it is complete."""
        if not self.closed:
            self._trace.note("written")
        super().close()


def slow_files(folder: Path, pace: float, trace: Trace) -> None:
    """Slows every file that is written below a folder, and every flush and rename."""
    real = io.open

    def opened(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        writes = isinstance(file, str | Path) and any(letter in mode for letter in "wax")
        if not writes or not str(file).endswith(SLOWED) or folder not in Path(file).parents:
            return real(file, mode, *rest, **options)
        raw = SlowFile(file, mode.replace("t", ""), pace, trace)
        if "b" in mode:
            return raw
        return io.TextIOWrapper(raw, encoding="utf-8", newline=options.get("newline"))

    io.open = builtins.open = opened
    os.fsync = noted(os.fsync, "flush", trace)
    os.replace = noted(os.replace, "rename", trace)
    os.rename = noted(os.rename, "rename", trace)


def noted(call: Callable[..., Any], name: str, trace: Trace) -> Callable[..., Any]:
    """The same call with a pause before and after it, traced."""

    def slowly(*arguments: Any, **options: Any) -> Any:
        names = " ".join(Path(str(each)).name for each in arguments if not isinstance(each, int))
        trace.note(f"{name} {names}".strip())
        time.sleep(PAUSE)
        result = call(*arguments, **options)
        trace.note(f"{name} done")
        time.sleep(PAUSE)
        return result

    return slowly


def trace_training(trace: Trace) -> None:
    """Notes steps and validation, by hooks that no task of ours fills in, or beside ours."""

    def step(task: pl.LightningModule, outputs: Any, batch: Any, index: int) -> None:
        if (index + 1) % task.trainer.accumulate_grad_batches == 0:
            trace.note(f"step {task.trainer.global_step}")

    def validation(task: pl.LightningModule) -> None:
        trace.note("validation" if task.trainer.state.fn == "fit" else "evaluation")

    begin = DenseTask.on_train_start

    def training(task: DenseTask) -> None:
        trace.note(f"training {task.trainer.global_step}")
        begin(task)

    hooks = pl.LightningModule
    hooks.on_train_batch_end = step  # type: ignore[method-assign]
    hooks.on_validation_start = validation  # type: ignore[method-assign]
    hooks.on_validation_end = lambda task: trace.note("validated")  # type: ignore[method-assign]
    DenseTask.on_train_start = training  # type: ignore[method-assign]
    evaluate = command._evaluate_best

    def evaluated(*arguments: Any) -> None:
        trace.note("evaluation")
        evaluate(*arguments)

    command._evaluate_best = evaluated


def main(trace_path: Path, pace: float, arguments: Sequence[str]) -> int:
    """Runs `tools/train.py` on the arguments, slowed below `training.output`."""
    trace = Trace(trace_path)
    trace.note("start")
    output = next(each.partition("=")[2] for each in arguments if each.startswith(OUTPUT))
    slow_files(Path(output), pace, trace)
    trace_training(trace)
    code = load_tool().main(arguments)
    trace.note(f"end {code}")
    return code


OUTPUT = "training.output="


def load_tool() -> Any:
    """The command line's own file."""
    path = Path(__file__).parents[3] / "tools" / "train.py"
    specification = importlib.util.spec_from_file_location("train_tool", path)
    assert specification is not None
    assert specification.loader is not None
    tool = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tool)
    return tool


def run_forked(out: Path, trace: Path, pace: float, arguments: Sequence[str]) -> None:
    """A session in a process forked from one that has imported everything."""
    os.setsid()
    multiprocessing.set_start_method("fork", force=True)  # as in a process of its own
    with out.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = ["tools/train.py", *arguments]
    sys.exit(main(trace, pace, arguments))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
