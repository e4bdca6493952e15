"""The rules that hold across files: layers, the mirror of tests, configs, imports."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnv2_dense.config.loader import load_any_config, schema_json

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mnv2_dense"
# What a file of the command line may take from the package: it parses arguments and hands them on.
# The config's loader is there so that --print-config and --print-schema need no torch.
COMMAND_LINE_IMPORTS = (
    *("cli", "command_line", "commands", "config.loader", "config.shipped", "errors", "quoting"),
    "shapes",
)
CONFIG_FILES = sorted((ROOT / "configs").glob("*.yaml"))
TOOLS = sorted((ROOT / "tools").glob("*.py"))
COMMAND_LINE = sorted((PACKAGE / "command_line").glob("*.py"))

DETECTION, SEGMENTATION = "detection", "segmentation"
# Files of one column that have no twin in the other, since the task has no such step.
WITHOUT_TWIN = {
    DETECTION: {
        *("anchors.py", "coding.py", "cropping.py", "fitting.py", "matching.py", "targets.py")
    },
    SEGMENTATION: {
        *("color_masks.py", "contents.py", "folders.py", "gaps.py", "inference.py", "lraspp.py"),
        *("masks.py", "rendered.py", "strips.py", "survey.py"),
    },
}
# By file below the package: what stands for what. `{}` is the column, of one name in both.
TWINS = {
    "{}/data.py": [("DetectionDataset", "SegmentationDataset"), ("collate", "collate")],
    "{}/decode.py": [("Decoder", "Decoder")],
    "{}/draw.py": [("draw_detections", "draw_label_map")],
    "{}/head.py": [("SSDHead", "DeepLabV3Head")],
    "{}/index.py": [("DetectionIndex", "SegmentationIndex")],
    "{}/loss.py": [("SSDLoss", "SegmentationLoss"), ("LossTerms", "LossTerms")],
    "{}/metrics.py": [("CocoDetectionMetric", "SegmentationMetric")],
    "{}/network.py": [("DetectorOutputs", "SegmenterOutputs"), ("Detector", "Segmenter")],
    "{}/scoring.py": [
        ("DetectionScores", "SegmentationScores"),
        ("evaluate", "evaluate"),
        ("summary_table", "summary_table"),
        ("per_class_table", "per_class_table"),
    ],
    "{}/task.py": [("DetectionTask", "SegmentationTask")],
    "{}/transforms.py": [
        ("DetectionTransform", "SegmentationTransform"),
        ("EvalTransform", "EvalTransform"),
        ("TrainTransform", "TrainTransform"),
    ],
    "builders/{}.py": [
        *((name, name) for name in ("build_network", "build_loss", "build_task", "build_data")),
        *((name, name) for name in ("coarsest_stride", "count_classes", "read_split")),
        ("build_decoder", "build_inference"),
    ],
    "builders/{}_data.py": [("read_split", "read_split"), ("settle_classes", "settle_classes")],
    "commands/{}.py": [("DetectionColumn", "SegmentationColumn")],
    "config/{}.py": [
        (f"Detection{part}", f"Segmentation{part}")
        for part in ("Data", "Input", "Augmentation", "Head", "Loss", "Config")
    ],
}
# Public methods that only one of a pair has: the steps of its own loss, its own kind of truth,
# and detections that are kept for COCO's results.
OWN_METHODS = {
    "SSDLoss": {"assign", "classify", "mine"},
    "SegmentationLoss": {"measure", "weigh", "find_hardest"},
    "DetectionIndex": {"size", "targets"},
    "SegmentationIndex": {"choose", "label_map", "mask_path", "mask_place"},
    "CocoDetectionMetric": {"analyze", "results", "sync"},
}
COPIED_LINES = 6


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
def test_a_tool_calls_its_command_and_does_nothing_else(tool: Path) -> None:
    module = ast.parse(tool.read_text(encoding="utf-8"))
    assert ast.get_docstring(module)
    assert [line for each in module.body[1:] for line in ast.unparse(each).splitlines()] == [
        "import sys",
        f"from mnv2_dense.command_line.{tool.stem} import main",
        "if __name__ == '__main__':",
        "    sys.exit(main())",
    ]


@pytest.mark.parametrize("path", COMMAND_LINE, ids=lambda path: path.name)
def test_the_command_line_only_hands_on_its_arguments(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            if name.startswith("mnv2_dense."):
                part = name.removeprefix("mnv2_dense.")
                assert part.startswith(COMMAND_LINE_IMPORTS), f"{path}:{node.lineno} imports {name}"
            else:
                assert name.split(".")[0] in {*sys.stdlib_module_names, "mnv2_dense"}


def test_every_package_folder_has_its_folder_of_tests() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    for name in folders:
        tests = ROOT / "tests" / name
        assert list(tests.glob("test_*.py")), f"no tests in {tests}"


def test_every_test_file_stands_beside_a_file_of_the_package() -> None:
    for folder in (path.parent for path in PACKAGE.glob("*/__init__.py")):
        for test in (ROOT / "tests" / folder.name).glob("test_*.py"):
            assert (folder / test.name.removeprefix("test_")).is_file(), test


def test_git_ignores_no_file_of_the_project() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    command = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--", "*.py"]
    ignored = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    parts = ("mnv2_dense/", "tools/", "tests/", "docs/")
    assert not [name for name in ignored.split() if name.startswith(parts)]


def test_there_are_configs_and_tools() -> None:
    assert CONFIG_FILES
    assert TOOLS
    assert COMMAND_LINE


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.name)
def test_every_config_loads_and_says_what_to_expect(path: Path) -> None:
    assert load_any_config(path).name
    assert path.read_text(encoding="utf-8").startswith("#")


def test_every_key_of_the_schema_is_documented() -> None:
    schema = json.loads(schema_json())
    for section in schema["$defs"].values():
        assert section["description"]
        for name, key in section["properties"].items():
            # A section is documented where it is defined.
            assert "$ref" in key or key["description"], name


def test_config_is_read_without_torch() -> None:
    heavy = run_python(
        "import sys, mnv2_dense.config.loader\n"
        "print(*{'torch', 'lightning', 'numpy', 'albumentations'} & set(sys.modules))"
    )
    assert heavy.strip() == ""


@pytest.mark.parametrize("tool", ["train", "summary", "show_data", "fit_anchors", "evaluate"])
@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), (["configs/ssdlite_coco.yaml", "input.hight=1"], 2)]
)
def test_commands_help_and_tell_mistakes_without_torch(
    tool: str, arguments: list[str], code: int
) -> None:
    heavy = run_python(
        "import runpy, sys\n"
        f"sys.argv = ['tools/{tool}.py', *{arguments}]\n"
        "try:\n"
        f"    runpy.run_path('tools/{tool}.py', run_name='__main__')\n"
        "except SystemExit as stop:\n"
        f"    assert stop.code == {code}, stop.code\n"
        "print('imported:', *{'torch', 'lightning', 'numpy', 'albumentations'} & set(sys.modules))"
    )
    assert heavy.endswith("imported:\n")


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


# The mirror: two columns of one shape, and nothing in both


def test_both_columns_have_the_same_files() -> None:
    first, second = (
        {path.name for path in (PACKAGE / column).glob("*.py")} - own
        for column, own in WITHOUT_TWIN.items()
    )
    assert first == second
    listed = {name.removeprefix("{}/") for name in TWINS if name.startswith("{}/")}
    assert listed == first - {"__init__.py"}


@pytest.mark.parametrize("column", WITHOUT_TWIN)
def test_files_without_twin_exist(column: str) -> None:
    files = {path.name for path in (PACKAGE / column).glob("*.py")}
    assert files >= WITHOUT_TWIN[column]


@pytest.mark.parametrize("name", TWINS)
def test_twins_have_the_same_public_shape(name: str) -> None:
    first, second = (definitions(name.format(column)) for column in WITHOUT_TWIN)
    for pair in TWINS[name]:
        assert pair[0] in first, f"{pair[0]}, the twin of {pair[1]}, is missing"
        assert pair[1] in second, f"{pair[1]}, the twin of {pair[0]}, is missing"
        one, other = first[pair[0]], second[pair[1]]
        assert type(one) is type(other)
        assert methods(one) == methods(other), f"methods of {pair[0]} and {pair[1]} differ"


def definitions(name: str) -> dict[str, ast.AST]:
    """The classes and functions of a file of the package, by name."""
    body = ast.parse((PACKAGE / name).read_text(encoding="utf-8")).body
    return {node.name: node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def methods(node: ast.AST) -> set[str]:
    """The public methods of a class, without those that its twin need not have."""
    if not isinstance(node, ast.ClassDef):
        return set()
    names = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    return {name for name in names if not name.startswith("_")} - OWN_METHODS.get(node.name, set())


def test_no_six_lines_stand_in_both_columns() -> None:
    first, second = (dict(windows(column)) for column in WITHOUT_TWIN)
    copies = [
        f"{first[lines]} and {second[lines]}:\n  " + "\n  ".join(lines)
        for lines in first.keys() & second.keys()
    ]
    assert not copies, "\n".join(copies)


def windows(column: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every run of lines in a column's files, and where it is."""
    paths = [*(PACKAGE / column).glob("*.py"), *PACKAGE.glob(f"*/{column}.py")]
    for path in paths:
        lines = code_lines(path)
        for start in range(len(lines) - COPIED_LINES + 1):
            numbers, texts = zip(*lines[start : start + COPIED_LINES], strict=True)
            yield texts, f"{path.relative_to(ROOT)}:{numbers[0]}"


def code_lines(path: Path) -> list[tuple[int, str]]:
    """A file's lines that do something, numbered, in which both tasks have one name.

    Left out: comments, docstrings, imports, signatures and lines of brackets alone.
    """
    text = path.read_text(encoding="utf-8")
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            left_out.update(range(first_line(node), node.body[0].lineno))
        elif isinstance(node, ast.Import | ast.ImportFrom | ast.Expr) and not has_effect(node):
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        code = line.partition("#")[0].strip()
        if number not in left_out and re.search(r"\w", code):
            lines.append((number, re.sub("detect(ion|or)|segment(ation|er)", "task", code.lower())))
    return lines


def first_line(node: ast.ClassDef | ast.FunctionDef) -> int:
    return min([node.lineno, *(each.lineno for each in node.decorator_list)])


def has_effect(node: ast.stmt) -> bool:
    """Whether a statement is neither an import nor a docstring."""
    return isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
