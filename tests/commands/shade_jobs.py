"""Jobs of a network that needs no weights, and what they leave."""

from functools import partial
from pathlib import Path

from PIL import Image

from mnv2_dense.commands.outputs import JOB_FOLDER, Outputs
from mnv2_dense.commands.prediction_job import WHOLE, Share, run_job
from mnv2_dense.commands.prediction_kinds import Opened
from tests.commands.shades import RECORDS, Shades


def outputs_of(out: Path) -> Outputs:
    return Outputs(out, Shades.result_folders, RECORDS)


def run_shades(
    out: Path,
    *sources: Path,
    processes: int = 1,
    share: Share = WHOLE,
    seconds: float = 0.0,
    weights: str = "gray",
) -> None:
    opener = partial(Shades, seconds)
    settings = {"weights": weights, "top": 5}
    run_job(Opened(opener(), opener), sources, outputs_of(out), settings, processes, share)


def draw(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3), (shade, shade, shade)).save(path)
    return path


def draw_many(folder: Path, count: int) -> list[Path]:
    """Pictures in two folders, with the same names in both."""
    return [draw(folder / str(each % 2) / f"ü{each // 2:03}.png", each) for each in range(count)]


def results(out: Path) -> dict[str, bytes]:
    """All that a user sees below an output folder, and half files."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and JOB_FOLDER not in path.relative_to(out).parts[:-1]
    }


def count_lines(out: Path) -> int:
    """Pictures that were predicted for a job, again or for the first time."""
    parts = (out / JOB_FOLDER).glob("part-*.jsonl")
    return sum(part.read_bytes().count(b"\n") for part in parts)
