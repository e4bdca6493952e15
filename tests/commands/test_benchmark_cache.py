from pathlib import Path

from tests.commands.tiny import CONFIG, read_json, run_tool, tiny_overrides

COLOURS = "augmentation.photometric=0.5"


def test_a_copy_is_timed_beside_its_originals(shapes_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    changes = tiny_overrides(shapes_set, tmp_path)
    options = ["--shorter-side", 32, "--repetitions", 1, "--threads", 1, "--out", out]
    outcome = run_tool("benchmark", "cache", CONFIG, *changes, COLOURS, *options).require_success()
    assert "at least 2" in outcome.out
    (section,) = read_json(out)["sections"]
    assert [each["target"] for each in section["ratios"]].count(2.0) == 2
    names = {"originals", "shorter side at most 32"}
    assert (
        names | {f"{name}, colours left to the device" for name in names} < section["times"].keys()
    )


def test_a_size_that_is_none(tmp_path: Path) -> None:
    outcome = run_tool("benchmark", "cache", CONFIG, "--shorter-side", 32, 0)
    assert (outcome.code, "--shorter-side 0: give 1 or more pixels" in outcome.err) == (2, True)


def test_a_mistake_in_the_config(tmp_path: Path) -> None:
    outcome = run_tool("benchmark", "cache", CONFIG, "input.hight=3")
    assert outcome.code == 2
    assert "input.hight is no known key; did you mean input.height?" in outcome.err
