"""The whole of the reference's figures: every integer, and every verdict on the paper."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mnv2_dense.paper.tables import TABLES


@cache  # each takes seconds
def rows(number: str) -> list[dict[str, Any]]:
    return TABLES[number]().as_json()["rows"]


def find(number: str, model: str, setting: str) -> dict[str, Any]:
    found = [row for row in rows(number) if (row["model"], row["setting"]) == (model, setting)]
    if number == "4":  # a model and input may stand in the paper's text and in the grid
        found = found[:1]
    assert len(found) == 1, (model, setting)
    return found[0]


def integers(content: object) -> set[int]:
    """Every whole number inside nested plain values."""
    if isinstance(content, dict):
        return set().union(*map(integers, content.values()), ())
    if isinstance(content, list):
        return set().union(*map(integers, content), ())
    return {content} if isinstance(content, int) and not isinstance(content, bool) else set()


def test_every_integer_of_the_references_first_section_is_counted(shared: Path) -> None:
    text = (shared / "reference" / "paper_tables.md").read_text(encoding="utf-8")
    section = text.split("\n## 1.")[1].split("\n## 2.")[0]
    section = section.replace("257,385,513,641,769,897", "")  # sides, not one number
    expected = {int(n.replace(",", "")) for n in re.findall(r"\d{1,3}(?:,\d{3})+", section)}
    expected |= {2034, 1917}
    assert len(expected) > 80
    counted = set().union(*(integers(rows(number)) for number in TABLES))
    assert sorted(expected - counted) == []


# Model, setting, parameters, multiply-adds, and the verdicts on both: None is a difference.
PRINTED = {
    "4": [
        ("MobileNetV1", "", 4_231_976, 568_740_352, "with norms", None),
        ("ShuffleNet (1.5)", "g = 3", 3_442_168, 292_443_552, "with norms", "multiply-adds"),
        ("ShuffleNet (x2)", "g = 3", 5_450_776, 524_045_184, "with norms", "multiply-adds"),
        ("MobileNetV2", "", 3_504_872, 300_774_272, "without norms", "multiply-adds"),
        ("MobileNetV2 (1.4)", "", 6_108_776, 582_195_824, None, None),
        ("MobileNetV2 (0.35)", "96x96", 1_677_128, 11_934_128, "with norms", None),
    ],
    "5": [
        ("SSD", "head", 14_776_629, 1_259_068_672, "with norms", "multiply-adds"),
        ("SSDLite", "head", 2_113_141, 177_617_344, "with norms", None),
    ],
    "6": [
        ("MNet V1 + SSDLite", "320x320", 5_100_661, 1_309_162_944, "with norms", "multiply-adds"),
        ("MNet V2 + SSDLite", "320x320", 4_337_013, 788_830_144, "with norms", "multiply-adds"),
    ],
    "7": [
        ("MNet V1", "OS 16, ASPP", 11_145_301, 12_760_886_976, "with norms", "by space-to-batch"),
        ("MNet V1", "OS 8, MF, ASPP", 11_145_301, 800_745_156_864, "with norms", None),
        ("MNet V2*", "OS 16, ASPP", 4_523_541, 5_363_508_928, "with norms", "by space-to-batch"),
        (
            *("MNet V2*", "OS 8, MF, ASPP", 4_523_541, 327_929_763_072),
            *("with norms", "by space-to-batch"),
        ),
        ("MNet V2*", "OS 16", 2_113_557, 2_740_709_056, "with norms", "by space-to-batch"),
        ("MNet V2*", "OS 8, MF", 2_113_557, 152_334_636_288, "with norms", "by space-to-batch"),
        (
            *("ResNet-101", "OS 16, ASPP", 58_164_437, 76_052_470_720),
            *("with norms", "by space-to-batch"),
        ),
        (
            *("ResNet-101", "OS 8, MF, ASPP", 58_164_437, 4_353_776_438_528),
            *("with norms", "by space-to-batch"),
        ),
    ],
}
# Table 7 by space-to-batch: the count, and its deviation from the printed figure in per cent.
SPACE_TO_BATCH = {
    ("MNet V1", "OS 16, ASPP"): (14_226_627_264, -0.16),
    ("MNet V1", "OS 8, MF, ASPP"): (990_785_564_928, 5.19),
    ("MNet V2*", "OS 16, ASPP"): (5_823_096_448, 0.40),
    ("MNet V2*", "OS 8, MF, ASPP"): (387_477_555_456, 0.12),
    ("ResNet-101", "OS 16, ASPP"): (80_834_763_712, -0.20),
    ("ResNet-101", "OS 8, MF, ASPP"): (4_868_940_516_608, -0.03),
}


@pytest.mark.parametrize("number", PRINTED)
def test_every_printed_row_has_its_counts_and_verdicts(number: str) -> None:
    for model, setting, parameters, multiply_adds, *conventions in PRINTED[number]:
        row = find(number, model, setting)
        assert row["kind"] == "printed"
        assert row["counts"]["parameters"] == parameters
        assert row["counts"]["multiply_adds"] == multiply_adds
        verdicts = [row["verdicts"][figure] for figure in ("params", "MAdds")]
        found = [each["convention"] if each["agrees"] else None for each in verdicts]
        assert found == conventions, (model, setting)
        assert row["note"] or None not in conventions, "a difference without its reason"


@pytest.mark.parametrize(
    ("number", "model", "setting", "multiply_adds"),
    [
        ("4", "MobileNetV2 (0.75)", "224x224", 209_069_792),
        ("4", "MobileNetV2 (0.5)", "224x224", 97_131_840),
        ("4", "MobileNetV2 (0.35)", "224x224", 59_285_808),
        ("6", "MNet V2 + SSDLite", "300x300", 734_610_416),
        ("6", "MNet V2 + SSDLite", "300x300, 90 classes", 749_503_856),
        ("7", "MNet V1", "OS 8, 513x513, ASPP", 46_400_483_008),
        ("7", "MNet V2*", "OS 8, 513x513, ASPP", 19_001_546_432),
        ("7", "MNet V2*", "OS 8, 513x513", 8_825_853_632),
        ("7", "MNet V2*", "OS 8, 257x257", 2_272_758_464),
        ("7", "ResNet-101", "OS 8, 513x513, ASPP", 252_252_117_952),
    ],
)
def test_further_rows_have_the_references_multiply_adds(
    number: str, model: str, setting: str, multiply_adds: int
) -> None:
    assert find(number, model, setting)["counts"]["multiply_adds"] == multiply_adds


def test_other_atrous_rates_come_near_the_unexplained_row() -> None:
    row = find("7", "MNet V1", "OS 8, MF, ASPP rates 12, 18, 24")
    assert round(row["counts"]["space_to_batch"] / 1e8) == 9403
    assert "12, 18, 24" in find("7", "MNet V1", "OS 8, MF, ASPP")["note"]


def test_no_other_row_claims_to_be_the_papers() -> None:
    for number, expected in PRINTED.items():
        printed = {(r["model"], r["setting"]) for r in rows(number) if r["kind"] == "printed"}
        assert printed == {row[:2] for row in expected}


@pytest.mark.parametrize("key", SPACE_TO_BATCH)
def test_table_7_by_space_to_batch(key: tuple[str, str]) -> None:
    row = find("7", *key)
    count, deviation = SPACE_TO_BATCH[key]
    assert row["counts"]["space_to_batch"] == count
    assert 100 * row["verdicts"]["MAdds"]["deviation"] == pytest.approx(deviation, abs=0.006)


@pytest.mark.parametrize(
    ("number", "models"), [("4", {"NasNet-A"}), ("6", {"SSD300", "SSD512", "YOLOv2"})]
)
def test_rows_that_are_only_quoted_say_so(number: str, models: set[str]) -> None:
    quoted = [row for row in rows(number) if row["kind"] == "quoted"]
    assert {row["model"] for row in quoted} == models
    assert not any(row["counts"] or row["verdicts"] for row in quoted)


def test_twice_the_multiply_adds_explain_table_5() -> None:
    row = find("5", "SSDLite", "head")
    assert 2 * row["counts"]["multiply_adds"] == 355_234_688
    assert "twice" in row["note"]


@pytest.mark.parametrize(
    ("number", "model", "setting", "parameters"),
    [
        ("4", "ShuffleNet (1.5)", "stem 36", 3_443_212),
        ("4", "ShuffleNet (2.0)", "stem 24", 5_448_208),
        ("5", "SSD", "head, 80 slots", 14_629_716),
        ("6", "MNet V2 + SSDLite", "six anchors per cell of the first level", 4_484_148),
        ("6", "MNet V2 + SSDLite", "first tap behind the 13th bottleneck", 4_204_053),
        ("7", "MNet V2*", "OS 16, depthwise-separable, ASPP", 2_568_021),
        ("7", "MNet V2*", "OS 16, head on the 1280-channel map, ASPP", 12_062_741),
        ("7", "MNet V2*", "OS 16, head on the 1280-channel map", 3_017_237),
        ("7", "MNet V1", "OS 8, MF, ASPP rates 12, 18, 24", 11_145_301),
    ],
)
def test_rejected_readings(number: str, model: str, setting: str, parameters: int) -> None:
    row = find(number, model, setting)
    assert row["kind"] == "rejected"
    assert row["counts"]["parameters"] == parameters


def test_the_grid_has_every_published_width_and_resolution() -> None:
    found = {
        (row["model"], row["setting"])
        for row in rows("4")
        if row["kind"] == "further" and "classes" not in row["setting"]
    }
    widths, sides = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4), (96, 128, 160, 192, 224)
    assert found == {(f"MobileNetV2 ({w})", f"{s}x{s}") for w in widths for s in sides}


def test_the_releases_own_figures_agree_without_norms() -> None:
    found = [row for row in rows("4") if row["setting"].endswith("1001 classes")]
    weights = [row["counts"]["weights"] for row in found]
    assert weights == [6_061_632, 2_610_064, 1_950_416, 1_663_328, 1_663_328]
    assert found[-1]["counts"]["multiply_adds"] == 11_935_408
    assert all(verdict["agrees"] for row in found for verdict in row["verdicts"].values())
