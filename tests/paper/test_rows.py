import json

from mnv2_dense.paper.measure import Counts
from mnv2_dense.paper.rows import Table, further_row, printed_row, quoted_row

COUNTS = Counts(3_504_872, 3_469_760, 34_112, 3_539_036, 300_774_272, 300_774_272)


def test_params_and_multiply_adds_are_compared_and_scores_are_not() -> None:
    row = printed_row("V2", "", {"top-1": "72.0", "params": "3.4M", "MAdds": "300M"}, COUNTS)
    assert row.verdicts.keys() == {"params", "MAdds"}
    assert row.verdicts["params"].convention == "without norms"
    assert row.verdicts["MAdds"].convention == "multiply-adds"
    assert row.counts["parameters"] == 3_504_872


def test_space_to_batch_is_a_convention_only_where_it_differs() -> None:
    printed = {"params": "4M", "MAdds": "400M"}
    assert printed_row("", "", printed, COUNTS).verdicts["MAdds"].agrees is False
    atrous = COUNTS._replace(space_to_batch=400_000_000)
    verdict = printed_row("", "", printed, atrous).verdicts["MAdds"]
    assert (verdict.agrees, verdict.convention) == (True, "by space-to-batch")


def test_a_quoted_row_has_no_counts_of_ours() -> None:
    row = quoted_row("YOLOv2", {"params": "50.7M"})
    assert (row.kind, row.counts, row.verdicts) == ("quoted", {}, {})


def test_a_table_is_plain_values() -> None:
    printed = printed_row("V2", "", {"params": "3.4M"}, COUNTS, more={"anchors": 5})
    table = Table(4, "title", (printed, further_row("V3", "x", COUNTS, kind="rejected")))
    content = json.loads(json.dumps(table.as_json()))
    assert content["title"] == "title"
    first, second = content["rows"]
    assert first["counts"]["anchors"] == 5
    assert first["verdicts"]["params"]["how"] == "cut"
    assert (second["kind"], second["printed"], second["model"]) == ("rejected", {}, "V3")
