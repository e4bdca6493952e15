"""What `pip install` brings to a machine without a checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

import mnv2_dense
from tests.commands.tiny import CONFIG, ROOT

FOLDERS = ("configs", "docs", "mnv2_dense", "tests", "tools")
NOT_IN_A_CHECKOUT = shutil.ignore_patterns("__pycache__", ".*", "api")


def build(source: Path, kind: str) -> Path:
    """Builds a wheel or an sdist of a folder as pip does, without the network."""
    program = f"import setuptools.build_meta as backend; backend.build_{kind}('dist')"
    command = [sys.executable, "-c", program]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = (source / "dist").glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, for building leaves files behind."""
    pytest.importorskip("setuptools", minversion="77", reason="older ones know no licence names")
    copy = tmp_path_factory.mktemp("source")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=NOT_IN_A_CHECKOUT)
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    return build(source, "wheel")


def contents(wheel: Path) -> set[str]:
    """The files that it installs, without those that describe it."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def expected(source: Path) -> set[str]:
    """All of the package, and the configs and bands inside of it."""
    package = {path for path in (source / "mnv2_dense").rglob("*") if path.is_file()}
    configs = {
        path for kind in ("*.yaml", "bands/*.json") for path in (ROOT / "configs").glob(kind)
    }
    inside = {f"mnv2_dense/{path.relative_to(ROOT).as_posix()}" for path in configs}
    return inside | {path.relative_to(source).as_posix() for path in package}


def test_a_wheel_holds_the_package_and_the_configs_and_nothing_else(
    source: Path, wheel: Path
) -> None:
    names = contents(wheel)
    assert names == expected(source)
    data = {name for name in names if not name.endswith(".py")}
    assert data >= {
        "mnv2_dense/configs/ssdlite_coco.yaml",
        "mnv2_dense/inspection/page.css",
        "mnv2_dense/py.typed",
        *(
            f"mnv2_dense/serving/{each}"
            for each in ("canvas.js", "page.css", "page.html", "page.js")
        ),
    }


def test_a_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (about,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_string(archive.read(about).decode())
        scripts = archive.read(about.replace("METADATA", "entry_points.txt")).decode()
    assert metadata["Name"] == "mnv2-dense"
    assert metadata["Version"] == mnv2_dense.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert scripts == "[console_scripts]\nmnv2-dense = mnv2_dense.command_line.main:main\n"


@pytest.mark.long
def test_an_sdist_makes_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build(source, "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    assert contents(build(unpacked, "wheel")) == contents(wheel)
    for name in FOLDERS:
        files = {path.relative_to(source) for path in (source / name).rglob("*") if path.is_file()}
        missing = {path for path in files if not (unpacked / path).is_file()}
        assert not {path for path in missing if path.suffix != ".pyc"}


@pytest.mark.long
def test_what_is_installed_works_in_any_folder(wheel: Path, tmp_path: Path) -> None:
    place, folder = tmp_path / "site", tmp_path / "work"
    folder.mkdir()
    options = ["--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    install = [sys.executable, "-m", "pip", "install", *options, "--target", place, wheel]
    subprocess.run(install, check=True, capture_output=True)

    def run(*command: str | Path) -> str:
        surroundings = {**os.environ, "PYTHONPATH": str(place)}
        done = subprocess.run(
            command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run(sys.executable, "-c", "import mnv2_dense; print(mnv2_dense.__file__)")
    assert Path(where.strip()).is_relative_to(place)
    program = place / "bin" / "mnv2-dense"
    assert run(program, "--version") == f"mnv2-dense {mnv2_dense.__version__}\n"
    assert "name: ssdlite_shapes\n" in run(program, "train", CONFIG.name, "--print-config")
    assert run(sys.executable, "-m", "mnv2_dense", "configs", CONFIG.name)
    assert (folder / CONFIG.name).read_bytes() == CONFIG.read_bytes()
