"""One JSON file per finished run: what was trained, from what, and what it reached."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.training.runs import write_json
from tools.compare.sources import Sources, list_differences

FOLDER = "results"
SOURCES = "sources"


class Run(NamedTuple):
    """What tells a run from every other.

    `recipe` is `product` for this project's, `reference` for the peers' own; `start` is `random`
    or `imagenet`; `size` is the side of the input in pixels.
    """

    task: str
    data: str
    start: str
    network: str
    recipe: str
    seed: int
    steps: int
    batch: int
    size: int

    @property
    def name(self) -> str:
        """Of its files: without what all runs of a folder must share."""
        parts = (self.task, self.data, self.start, self.network, self.recipe, self.seed)
        return "-".join(map(str, parts))


class Outcome(NamedTuple):
    """What a run reached: scores by name in [0, 1], and what it cost.

    `parameters` and `multiply_adds` are those of the deployed network at the run's input size;
    `seconds_per_step` is the median over the run, data included.
    """

    scores: dict[str, float]
    parameters: int
    multiply_adds: int
    seconds_per_step: float


def result_path(run: Run, out: Path) -> Path:
    """Where the result of a run is, once it has finished."""
    return out / FOLDER / f"{run.name}.json"


def training_folder(run: Run, sources: Sources, out: Path) -> Path:
    """Where a run leaves its checkpoints: none of another budget or other sources is there."""
    text = json.dumps([run._asdict(), sources], sort_keys=True)
    return out / "runs" / hashlib.sha256(text.encode()).hexdigest()[:12]


def is_finished(run: Run, sources: Sources, out: Path) -> bool:
    """Whether the result of a run is there; one that does not say its sources does not count.

    Raises:
        UserError: It is there, but of other steps, batch, size or sources.
    """
    path = result_path(run, out)
    if not path.exists():
        return False
    stored = read_result(path)
    if SOURCES not in stored:
        return False
    for key, value in run._asdict().items():
        if stored[key] != value:
            raise UserError(
                f"{path}: a run of {key} {stored[key]}, not {value}; runs that are compared share "
                "steps, batch and size: give these, or another --out"
            )
    if differences := list_differences(stored[SOURCES], sources):
        raise UserError(
            f"{path}: made with {'; '.join(differences)}; give what it was made with, or another "
            "--out"
        )
    return True


def write_result(run: Run, sources: Sources, outcome: Outcome, out: Path, **more: Any) -> None:
    """Writes what a run reached; `more` says where it ran.

    A result that was there, of unknown sources, is kept with `.old` behind its name.
    """
    path = result_path(run, out)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.replace(path.with_name(f"{path.name}.old"))
    write_json(path, {**run._asdict(), **outcome._asdict(), SOURCES: sources, **more})


def read_result(path: Path) -> dict[str, Any]:
    """A result as it was written.

    Raises:
        UserError: It is no result of these tools.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if isinstance(content, dict) and content.keys() >= {*Run._fields, *Outcome._fields}:
        return content
    raise UserError(f"{path}: not a result of tools/compare; remove it to train that run again")


def read_results(out: Path) -> list[dict[str, Any]]:
    """Every finished run of a folder, by name, but for those that do not say their sources."""
    results = [read_result(path) for path in sorted((out / FOLDER).glob("*.json"))]
    known = [result for result in results if SOURCES in result]
    if left_out := len(results) - len(known):
        said = f"{out}: {left_out} results do not say what they were made from; left out"
        print(said, file=sys.stderr)
    return known
