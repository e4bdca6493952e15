from pathlib import Path

import pytest

from mnv2_dense.commands.check_score import settings_of
from mnv2_dense.commands.score_band import list_changes, read_band
from mnv2_dense.config import shipped
from mnv2_dense.config.loader import load_any_config
from mnv2_dense.config.shipped import find_config, shipped_band, shipped_configs
from tests.commands.tiny import CONFIG, ROOT


def test_a_checkout_ships_the_files_of_its_folder() -> None:
    assert [*shipped_configs().values()] == sorted((ROOT / "configs").glob("*.yaml"))
    assert shipped_configs()["ssdlite_shapes.yaml"] == CONFIG


def test_an_installed_package_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies beside it, in site-packages, is somebody else's."""
    for folder in ("configs", "mnv2_dense/configs"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "some.yaml").touch()
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path / "mnv2_dense")
    assert shipped_configs() == {"some.yaml": tmp_path / "mnv2_dense" / "configs" / "some.yaml"}


@pytest.mark.parametrize("text", ["ssdlite_shapes.yaml", "configs/ssdlite_shapes.yaml"])
def test_a_name_alone_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(text) == CONFIG
    own = tmp_path / text
    own.parent.mkdir(exist_ok=True)
    own.touch()
    assert find_config(text) == Path(text), "a file of the user's comes first"


@pytest.mark.parametrize(
    "text", ["mine/ssdlite_shapes.yaml", "/ssdlite_shapes.yaml", "ssdlite_shapes", "x" * 5000, ""]
)
def test_any_other_path_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(text) == Path(text)


def test_every_band_is_of_a_config_as_it_is() -> None:
    """A changed recipe needs its runs made anew."""
    bands = sorted((ROOT / "configs" / "bands").glob("*.json"))
    assert bands
    for path in bands:
        assert shipped_band(path.stem) == path
        config = load_any_config(ROOT / "configs" / f"{path.stem}.yaml")
        assert list_changes(read_band(path).settings, settings_of(config)) == []
        assert len(read_band(path).scores) >= 5
