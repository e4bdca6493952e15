"""The rules that hold across files: layers, the mirror of tests, configs, imports."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mnv2_dense.config.loader import load_config, schema_json

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mnv2_dense"
# What a tool may take from the package: it parses arguments and hands them on. The config's
# loader is there so that --print-config and --print-schema need no torch.
TOOL_IMPORTS = ("cli", "commands", "config.loader", "errors", "shapes")
CONFIG_FILES = sorted((ROOT / "configs").glob("*.yaml"))
TOOLS = sorted((ROOT / "tools").glob("*.py"))


def run_python(code: str) -> str:
    """Returns what a fresh interpreter prints; fails with its traceback."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_layers_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.name)
def test_tools_only_hand_on_their_arguments(tool: Path) -> None:
    for node in ast.walk(ast.parse(tool.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "mnv2_dense":
                part = name.removeprefix("mnv2_dense.")
                assert part.startswith(TOOL_IMPORTS), f"{tool.name}:{node.lineno} imports {name}"
            else:
                assert name.split(".")[0] in sys.stdlib_module_names


def test_every_package_folder_has_its_folder_of_tests() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    for name in folders:
        tests = ROOT / "tests" / name
        assert list(tests.glob("test_*.py")), f"no tests in {tests}"


def test_every_test_file_stands_beside_a_file_of_the_package() -> None:
    for folder in (path.parent for path in PACKAGE.glob("*/__init__.py")):
        for test in (ROOT / "tests" / folder.name).glob("test_*.py"):
            assert (folder / test.name.removeprefix("test_")).is_file(), test


def test_there_are_configs_and_tools() -> None:
    assert CONFIG_FILES
    assert TOOLS


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.name)
def test_every_config_loads_and_says_what_to_expect(path: Path) -> None:
    assert load_config(path).name
    assert path.read_text(encoding="utf-8").startswith("#")


def test_every_key_of_the_schema_is_documented() -> None:
    schema = json.loads(schema_json())
    for section in schema["$defs"].values():
        assert section["description"]
        for name, key in section["properties"].items():
            assert key["description"], name


def test_config_is_read_without_torch() -> None:
    heavy = run_python(
        "import sys, mnv2_dense.config.loader\n"
        "print(*{'torch', 'lightning', 'numpy', 'albumentations'} & set(sys.modules))"
    )
    assert heavy.strip() == ""


def test_importing_the_package_reaches_for_no_network_and_warns_of_nothing() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(PACKAGE.rglob("*.py"))
    ]
    imports = "\n".join(f"import {name}" for name in names)
    run_python(
        "import mnv2_dense, socket\n"
        "def refuse(*args, **kwargs): raise SystemExit(f'network call: {args}')\n"
        "socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse\n"
        f"{imports}"
    )
