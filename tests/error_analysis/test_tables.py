from mnv2_dense.error_analysis import analyze_errors
from mnv2_dense.error_analysis.tables import format_line, format_tables
from tests.error_analysis.cases import DOG, found, thing, truth_of

ANALYSIS = analyze_errors(truth_of(thing(), thing(DOG, image=2)), [found(0.9), found(0.8, image=2)])


def test_one_line() -> None:
    assert format_line(ANALYSIS) == (
        "AP50 0.500; AP lost to errors of each kind: 0.500 classification, 0.000 localization, "
        "0.000 both, 0.000 duplicate, 0.000 background, 0.000 missed"
    )
    assert "no objects" in format_line(analyze_errors(truth_of(), []))


def test_tables() -> None:
    assert format_tables(ANALYSIS).splitlines() == [
        "AP50 0.500 on 2 images",
        "",
        "error                  dAP   count",
        "classification       0.500       1",
        "localization         0.000       0",
        "both                 0.000       0",
        "duplicate            0.000       0",
        "background           0.000       0",
        "missed               0.000       0",
        "all false positives  0.000       1",
        "all false negatives  0.500       1",
        "",
        "1 of 1 classes with errors, those that lose most first; dAP:",
        "       AP50   class   local    both    dupl  backgr  missed",
        "dog   0.000   1.000   0.000   0.000   0.000   0.000   0.000",
        "",
        "1 of 1 pairs of classes that are confused, most often first:",
        "      1  dog detected as cat",
    ]


def test_nothing_is_lost() -> None:
    lines = format_tables(analyze_errors(truth_of(), [])).splitlines()
    assert lines[0] == "AP50 - on 2 images"
    assert len(lines) == 11
