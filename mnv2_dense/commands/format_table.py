"""Every format of a network in one table: score, size and latency, float and int8."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from mnv2_dense.benchmarking.interleaving import measure as measure_time
from mnv2_dense.benchmarking.machine import describe_machine
from mnv2_dense.commands.evaluate_exported import measure, open_data
from mnv2_dense.commands.export import Export, export
from mnv2_dense.commands.outputs import check_output
from mnv2_dense.commands.session import quiet_lightning, say
from mnv2_dense.exporting.formats import FORMATS
from mnv2_dense.prediction.loading import load
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
    first = load(checkpoint, threads=threads)
    config, index = open_data(first, checkpoint, None, overrides)
    out.mkdir(parents=True, exist_ok=True)
    files = _export_all(checkpoint, calibration, out)
    others = {key: load(path, threads=threads) for key, path in files.items() if key != CHECKPOINT}
    predictors = {CHECKPOINT: first, **others}
    say(f"measuring {len(files)} files on {len(index)} pictures")
    columns = {key: measure(predictor, config, index)[0] for key, predictor in predictors.items()}
    times = measure_time(
        {
            " ".join(key): partial(predictor.predict, index.image(0))
            for key, predictor in predictors.items()
        },
        repetitions,
    )
    name = "mAP" if first.manifest.task == "detection" else "mIoU"
    rows = [
        Row(
            *key,
            predictors[key].engine.name,
            columns[key].task.scores.summary[name],
            _megabytes(key[0], path),
            1000 * times[" ".join(key)].median,
        )
        for key, path in files.items()
    ]
    write_json(
        out / "formats.json",
        {"machine": describe_machine(), "threads": threads, "rows": [asdict(row) for row in rows]},
    )
    table = "\n".join(draw_table(rows, name))
    (out / "formats.md").write_text(f"{table}\n", encoding="utf-8")
    say(f"{table}\n{len(index)} pictures; ms of the whole call, {threads} threads")


def _export_all(checkpoint: Path, calibration: Path, out: Path) -> dict[Key, Path]:
    """All files of the network, the checkpoint first."""
    files = {CHECKPOINT: checkpoint}
    for name, kind in FORMATS.items():
        precisions = ("float32",) if kind.quantizer is None else ("float32", "int8")
        for precision in precisions:
            int8 = precision == "int8"
            path = out / f"{checkpoint.stem}-{precision}{kind.suffix}"
            export(
                checkpoint, Export(name, path, int8=int8, calibration=calibration if int8 else None)
            )
            files[name, precision] = path
    return files


def _megabytes(name: str, path: Path) -> float:
    files = FORMATS[name].files(path) if name in FORMATS else [path]
    return sum(file.stat().st_size for file in files) / 1e6


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
