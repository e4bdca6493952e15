from mnv2_dense.benchmarking.interleaving import Timing
from mnv2_dense.benchmarking.ratios import Ratio
from mnv2_dense.benchmarking.report import Section

SECTION = Section(
    "Title",
    {"slow": Timing((0.001, 0.002, 1.0)), "fast": Timing((0.0005, 0.001, 1.0))},
    [
        Ratio("slow / fast", 2.0, 1.9, 1.25),
        Ratio("fast / slow", 0.5, 0.4),
        Ratio("slow by fast", 2.0, 1.0, 1.6, "at least"),
    ],
    ["a note"],
)


def test_the_report_says_what_was_missed_and_what_reached() -> None:
    assert SECTION.lines() == [
        "",
        "Title",
        "  a note",
        "  median ms  min ms  call",
        "        2.0     1.0  slow",
        "        1.0     0.5  fast",
        "",
        "  ratio  of min        target           what",
        "  2.000   1.900  at most 1.25   MISSED  slow / fast",
        "  0.500   0.400                         fast / slow",
        "  2.000   1.000  at least 1.6  reached  slow by fast",
    ]


def test_a_section_of_notes_has_no_tables() -> None:
    assert Section("Start", notes=["one", "two"]).lines() == ["", "Start", "  one", "  two"]


def test_programs_get_the_same() -> None:
    content = SECTION.as_dict()
    assert content["times"]["slow"] == {"median_ms": 2.0, "min_ms": 1.0, "repetitions": 3}
    assert [each["met"] for each in content["ratios"]] == [False, None, True]
    assert content["ratios"][2] == {
        **{"name": "slow by fast", "value": 2.0, "best": 1.0},
        **{"target": 1.6, "direction": "at least", "calls": (), "met": True},
    }
    assert (content["title"], content["notes"]) == ("Title", ["a note"])
