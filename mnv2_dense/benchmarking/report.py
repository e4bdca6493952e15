"""The figures of a run, for people and for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mnv2_dense.benchmarking.interleaving import Timing
from mnv2_dense.benchmarking.ratios import Ratio

_VERDICTS = {True: "reached", False: "MISSED", None: ""}


@dataclass
class Section:
    """What was measured in one interleaved run.

    Attributes:
        title: Of which network, or of what.
        timings: By name of the call.
        ratios: Beside their targets.
        notes: What else is to be known.
    """

    title: str
    timings: dict[str, Timing] = field(default_factory=dict)
    ratios: list[Ratio] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Title, times and ratios."""
        found = ["", self.title, *(f"  {note}" for note in self.notes)]
        times = [
            [f"{1000 * timing.median:.1f}", f"{1000 * timing.best:.1f}", name]
            for name, timing in self.timings.items()
        ]
        if times:
            found += _table([["median ms", "min ms", "call"], *times])
        if self.ratios:
            ratios = [
                [f"{each.value:.3f}", f"{each.best:.3f}", *_beside(each), each.name]
                for each in self.ratios
            ]
            found += ["", *_table([["ratio", "of min", "target", "", "what"], *ratios])]
        return found

    def as_dict(self) -> dict[str, Any]:
        """The same, as JSON values."""
        return {
            "title": self.title,
            "notes": self.notes,
            "times": {name: timing.as_dict() for name, timing in self.timings.items()},
            "ratios": [{**asdict(each), "met": each.met} for each in self.ratios],
        }


def _beside(ratio: Ratio) -> tuple[str, str]:
    asked = "" if ratio.target is None else f"{ratio.direction} {ratio.target:g}"
    return asked, _VERDICTS[ratio.met]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns side by side; the last one, of names, as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            [text.rjust(width) for text, width in zip(row[:-1], widths, strict=False)] + [row[-1]]
        )
        for row in rows
    ]
