from pathlib import Path

import pytest

from tests.commands.tiny import CONFIG, ROOT, run_tool


def test_all_are_listed_with_what_they_say_of_themselves() -> None:
    lines = run_tool("configs").require_success().out.splitlines()
    names = [line for line in lines if not line.startswith(" ")]
    assert names == sorted(path.name for path in (ROOT / "configs").glob("*.yaml"))
    assert lines[lines.index("ssdlite_shapes.yaml") + 1] == (
        "  A narrow SSDLite on the built-in data set: the whole product on two CPU cores."
    )
    assert all(not line or len(line) < 100 for line in lines)


def test_a_copy_is_written_here_and_never_over_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = CONFIG.name
    assert run_tool("configs", name).require_success().out == f"wrote {name}\n"
    assert (tmp_path / name).read_bytes() == CONFIG.read_bytes()
    (tmp_path / name).write_text("mine")
    again = run_tool("configs", name)
    assert again == (2, "", f"error: {name}: is there already, and stays as it is\n")
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["nothing.yaml", "../configs/ssdlite_shapes.yaml"])
def test_another_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run_tool("configs", name)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {name}: no config that comes with it; there are ")
    assert "ssdlite_shapes.yaml" in outcome.err
    assert not [*tmp_path.iterdir()]
