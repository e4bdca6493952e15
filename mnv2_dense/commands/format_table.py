"""Every format of a network in one table: score, size and latency, float and int8."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from mnv2_dense.benchmarking.interleaving import measure as measure_time
from mnv2_dense.benchmarking.machine import describe_machine, use_threads
from mnv2_dense.commands.evaluate_exported import measure, open_data
from mnv2_dense.commands.export import Export, export
from mnv2_dense.commands.outputs import check_output
from mnv2_dense.commands.session import quiet_lightning, say
from mnv2_dense.drawing import Picture
from mnv2_dense.errors import UserError
from mnv2_dense.exporting.formats import FORMATS, check_format
from mnv2_dense.image_files import find_images
from mnv2_dense.prediction.loading import load, model_files
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.training.runs import write_json

Key = tuple[str, str]
"""Format and precision."""
CHECKPOINT: Key = ("checkpoint", "float32")


@dataclass(frozen=True)
class Row:
    """A file of the network.

    Attributes:
        format: `checkpoint`, or one of `FORMATS`.
        precision: Of its arithmetic.
        engine: What ran it.
        score: mAP or mIoU on the whole validation set.
        megabytes: Of all its files.
        milliseconds: Median of the whole call, from a decoded picture to the result.
    """

    format: str
    precision: str
    engine: str
    score: float
    megabytes: float
    milliseconds: float


def compare_formats(
    checkpoint: Path,
    overrides: Sequence[str],
    *,
    calibration: Path,
    out: Path,
    threads: int,
    repetitions: int,
) -> None:
    """Exports a checkpoint to every format, measures all files, and writes the table.

    Args:
        checkpoint: Of this project.
        overrides: Changes to the data of its config, which are measured.
        calibration: Pictures for the int8 files.
        out: Folder of the files, of `formats.md` and of `formats.json`.
        threads: Of each engine.
        repetitions: Timed calls of each, in turn.

    Raises:
        UserError: See `export` and `open_data`; or a file of the folder is there already.
    """
    quiet_lightning()
    check_output(out)
    machine = describe_machine()
    first = load(checkpoint, threads=threads)
    config, index = open_data(first, checkpoint, None, overrides)
    find_images(calibration)  # Without any, the mistake is told now.
    out.mkdir(parents=True, exist_ok=True)
    files = {CHECKPOINT: checkpoint, **_export_all(checkpoint, calibration, out)}
    opened = {key: load(path, threads=threads) for key, path in files.items() if key != CHECKPOINT}
    predictors = {CHECKPOINT: first, **opened}
    say(f"measuring {len(files)} files on {len(index)} pictures")
    name = "mAP" if first.manifest.task == "detection" else "mIoU"
    scores = {
        key: measure(predictor, config, index)[0].task.scores.summary[name]
        for key, predictor in predictors.items()
    }
    use_threads(threads)  # What exports sets others.
    times = _time(predictors, index.image(0), repetitions)
    rows = [
        Row(*key, predictors[key].engine.name, scores[key], _megabytes(path), times[key])
        for key, path in files.items()
    ]
    content = {"machine": machine, "threads": threads, "rows": [asdict(row) for row in rows]}
    write_json(out / "formats.json", content)
    _write_table(out / "formats.md", draw_table(rows, name))
    say(f"{len(index)} pictures; ms of the whole call, {threads} threads")


def _write_table(path: Path, lines: Sequence[str]) -> None:
    table = "\n".join(lines)
    path.write_text(f"{table}\n", encoding="utf-8")
    say(table)


def _export_all(checkpoint: Path, calibration: Path, out: Path) -> dict[Key, Path]:
    """The network in every format that it can be written in here; the others are said."""
    files = {
        (name, precision): out / f"{checkpoint.stem}-{precision}{FORMATS[name].suffix}"
        for name, precision in _list_formats()
    }
    for path in files.values():
        if path.exists():
            raise UserError(f"--out {out}: {path.name} is there already; give a new folder")
    return {key: path for key, path in files.items() if _export(checkpoint, calibration, key, path)}


def _export(checkpoint: Path, calibration: Path, key: Key, path: Path) -> bool:
    """Whether a file could be written, and computes what the checkpoint does."""
    name, int8 = key[0], key[1] == "int8"
    try:
        check_format(name, int8=int8)
        export(checkpoint, Export(name, path, int8=int8, calibration=calibration if int8 else None))
    except UserError as error:
        say(f"left out: {error}")
        return False
    return True


def _list_formats() -> list[Key]:
    precisions = {True: ("float32",), False: ("float32", "int8")}
    return [
        (name, precision)
        for name, kind in FORMATS.items()
        for precision in precisions[kind.quantizer is None]
    ]


def _time(
    predictors: Mapping[Key, Predictor], picture: Picture, repetitions: int
) -> dict[Key, float]:
    """Median milliseconds of each one's whole call."""
    calls = {" ".join(key): partial(each.predict, picture) for key, each in predictors.items()}
    timings = measure_time(calls, repetitions)
    return {key: 1000 * timings[" ".join(key)].median for key in predictors}


def _megabytes(path: Path) -> float:
    return sum(file.stat().st_size for file in model_files(path)) / 1e6


def draw_table(rows: Sequence[Row], score: str) -> list[str]:
    """The rows as a Markdown table, latency as a ratio to the first."""
    first = rows[0]
    lines = [
        f"| format | precision | {score} | MB | ms | of the first | engine |",
        "|---|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {row.format} | {row.precision} | {row.score:.4f} | {row.megabytes:.2f} | "
        f"{row.milliseconds:.1f} | {row.milliseconds / first.milliseconds:.2f} | {row.engine} |"
        for row in rows
    ]
