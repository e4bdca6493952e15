"""The rows of the computed tables."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from mnv2_dense.paper.agreement import Verdict, compare
from mnv2_dense.paper.measure import Counts

Kind = Literal["printed", "quoted", "further", "rejected"]


class Row(NamedTuple):
    """One model: what the paper prints of it, what is counted here, and whether they agree.

    model: Its name in the paper.
    setting: Input, output stride and the like.
    kind: `printed` stands in the paper; `quoted` is printed there from elsewhere and not built
        here; `further` is a model that the paper does not list; `rejected` is another reading of
        a printed row.
    printed: The paper's figures, by column.
    counts: Ours, to the unit; empty in a quoted row.
    verdicts: By printed column.
    note: The reason of a discrepancy, where one is known, or what a row is for.
    """

    model: str
    setting: str
    kind: Kind
    printed: Mapping[str, str]
    counts: Mapping[str, float]
    verdicts: Mapping[str, Verdict]
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """The row in plain values."""
        verdicts = {name: verdict._asdict() for name, verdict in self.verdicts.items()}
        return {
            **self._asdict(),
            "printed": dict(self.printed),
            "counts": dict(self.counts),
            "verdicts": verdicts,
        }


class Table(NamedTuple):
    """A table of the paper, computed."""

    number: int
    title: str
    rows: tuple[Row, ...]

    def as_json(self) -> dict[str, Any]:
        """The table in plain values."""
        return {"title": self.title, "rows": [row.as_json() for row in self.rows]}


def printed_row(
    model: str,
    setting: str,
    printed: Mapping[str, str],
    counts: Counts,
    *,
    more: Mapping[str, float] | None = None,
    note: str = "",
) -> Row:
    """A row of the paper beside our counts.

    Args:
        model: Its name in the paper.
        setting: Input, output stride and the like.
        printed: The paper's figures; `params` and `MAdds` are compared.
        counts: Ours.
        more: Further counts to show.
        note: See `Row`.
    """
    parameters = {"with norms": counts.parameters, "without norms": counts.weights}
    operations = {"multiply-adds": counts.multiply_adds}
    if counts.space_to_batch != counts.multiply_adds:
        operations["by space-to-batch"] = counts.space_to_batch
    ours = {"params": parameters, "MAdds": operations}
    verdicts = {name: compare(printed[name], ours[name]) for name in ours if name in printed}
    return Row(model, setting, "printed", printed, _figures(counts, more), verdicts, note)


def further_row(
    model: str,
    setting: str,
    counts: Counts,
    *,
    more: Mapping[str, float] | None = None,
    kind: Kind = "further",
    note: str = "",
) -> Row:
    """A row that the paper does not have."""
    return Row(model, setting, kind, {}, _figures(counts, more), {}, note)


def quoted_row(model: str, printed: Mapping[str, str]) -> Row:
    """A row that the paper took from elsewhere; nothing is built for it."""
    return Row(model, "", "quoted", printed, {}, {})


def _figures(counts: Counts, more: Mapping[str, float] | None) -> dict[str, float]:
    return {**counts._asdict(), **(more or {})}
