"""What a user asks of the network in a prediction job."""

from collections.abc import Sequence
from dataclasses import dataclass

from mnv2_dense.errors import UserError
from mnv2_dense.prediction.predictor import SCORE_THRESHOLD

TOP = 5
"""Classes named of a picture where no other number is asked for."""

_KINDS = {
    "detection": "detector",
    "segmentation": "segmenter",
    "classification": "classifier",
    "joint": "joint network",
}
_TAKEN_BY = {
    "score_threshold": ("detection", "joint"),
    "top": ("classification",),
    "engine": ("detection", "segmentation", "joint"),
    "device": ("detection", "segmentation", "joint"),
}
"""Tasks whose networks an option is for."""


@dataclass(frozen=True)
class Options:
    """What a user asks of a network; None leaves a choice to it.

    Attributes:
        weights: Path of a checkpoint of ours, of an exported model or of a classifier's weights,
            or `imagenet`.
        overrides: Changes to the config, of the form `key.path=value`; not of an exported model.
        score_threshold: Of a detector: lowest score of a box, 0 to 1.
        top: Of a classifier: how many classes are named.
        engine: What runs the network; the best one that is installed by default.
        device: Of a checkpoint that PyTorch runs: where, as `cuda`; the CPU by default.
        threads: By default `OMP_NUM_THREADS`, else one per core.
        batch: Pictures that the network is shown at once.
        drawings: Whether pictures are written for people, beside what is for programs.
    """

    weights: str
    overrides: Sequence[str] = ()
    score_threshold: float | None = None
    top: int | None = None
    engine: str | None = None
    device: str | None = None
    threads: int | None = None
    batch: int = 1
    drawings: bool = True

    @property
    def lowest_score(self) -> float:
        """Of the boxes that are shown."""
        return SCORE_THRESHOLD if self.score_threshold is None else self.score_threshold

    @property
    def classes(self) -> int:
        """That are named of a picture."""
        return TOP if self.top is None else self.top

    def check_task(self, task: str) -> None:
        """Refuses what is for networks of another kind.

        Args:
            task: `detection`, `segmentation`, `classification` or `joint`.

        Raises:
            UserError: It is asked for.
        """
        for name, tasks in _TAKEN_BY.items():
            if getattr(self, name) is not None and task not in tasks:
                option = "--" + name.replace("_", "-")
                *first, last = (f"{_KINDS[each]}s" for each in tasks)
                others = f"{', '.join(first)} and {last}" if first else last
                raise UserError(f"{option} is for {others}; {self.weights} is a {_KINDS[task]}")
