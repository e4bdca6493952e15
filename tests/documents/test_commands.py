import ast
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from mnv2_dense.config.loader import parse_any_config
from mnv2_dense.config.schema import RUNS
from mnv2_dense.errors import UserError
from tests.commands.tiny import ROOT
from tests.documents.checking import check_command, check_mention
from tests.documents.reading import (
    DOCUMENTS,
    Call,
    Line,
    read_calls,
    read_commands,
    read_mentions,
    read_texts,
)

COMMANDS = [line for path in DOCUMENTS for line in read_commands(path)]
CONFIGS = [text for path in DOCUMENTS for text in read_texts(path, "yaml")]
PROGRAMS = [text for path in DOCUMENTS for text in read_texts(path, "python")]
MENTIONS = [line for path in DOCUMENTS for line in read_mentions(path)]


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: line.place)
def test_every_command_of_the_documents_can_be_typed(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    check_command(line)


@pytest.mark.parametrize("line", MENTIONS, ids=lambda line: line.place)
def test_every_option_in_a_sentence_exists(line: Line) -> None:
    check_mention(line)


@pytest.mark.parametrize("text", CONFIGS, ids=lambda text: text.place)
def test_every_part_of_a_config_is_read(text: Line) -> None:
    given = yaml.safe_load(text.text)
    mistakes = [mistake_of({"task": task, **given}) for task in RUNS]
    assert "" in mistakes, f"{text.place}: {mistakes}"


def mistake_of(given: dict[str, object]) -> str:
    try:
        parse_any_config(given)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("text", PROGRAMS, ids=lambda text: text.place)
def test_what_a_program_imports_exists(text: Line) -> None:
    for node in ast.walk(ast.parse(text.text)):
        if isinstance(node, ast.Import):
            for each in node.names:
                import_module(each.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = import_module(node.module)
            missing = [each.name for each in node.names if not hasattr(module, each.name)]
            assert not missing, f"{text.place}: {node.module} has no {missing}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "python tools/train.py configs/ssdlite_coco.yaml --fast",
            "here:1: train.py: error: unrecognized arguments: --fast",
        ),
        ("mnv2-dense export CHECKPOINT", "arguments are required: --format"),
        ("mnv2-dense export CHECKPOINT --format onnx|tvm", "invalid choice: 'tvm'"),
        ("mnv2-dense summary ssdlite_coco.yaml input.widht=1", "did you mean input.width?"),
        ("mnv2-dense evaluate MY.ckpt evaluation.flips=true", "evaluation.flips is no known key"),
        ("python tools/train.py configs/ssd.yaml", "there is no configs/ssd.yaml"),
        ("torchrun --nproc-per-node 2 tools/trian.py CONFIG", "there is no command trian"),
        ('sbatch --wrap "python tools/predict.py PICTURES"', "arguments are required: --weights"),
        ("tools/benchmark.py startup --pictures 3", "unrecognized arguments: --pictures 3"),
        ("make tests", "there is no tests"),
        ("pip install 'mnv2-dense[onnx,tvm]'", "there is no tvm"),
        ("python docs/plot.py RUN", "there is no docs/plot.py"),
    ],
)
def test_a_mistake_in_a_document_is_found(
    text: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["train.py"])
    with pytest.raises(AssertionError) as caught:
        check_command(Line("here:1", text))
    assert found in str(caught.value)


@pytest.mark.parametrize("text", ["tools/train.py --fast", "mnv2-dense benchmark loading --fast"])
def test_an_unknown_option_in_a_sentence_is_found(text: str) -> None:
    with pytest.raises(AssertionError, match="has no --fast"):
        check_mention(Line("here:1", text))


def test_what_is_read_of_a_document(tmp_path: Path) -> None:
    path = tmp_path / "some.md"
    path.write_text(
        "Call `tools/train.py --resume` or `python x.py`.\n"
        "```\n"
        ".venv/bin/python tools/train.py A.yaml \\\n"
        "    a.b=1   # why\n"
        "run folder runs/a\n"
        "```\n"
        "```bash\n"
        "# first\n"
        "$ mnv2-dense export CHECKPOINT --format onnx|litert [--out FILE] [KEY=VALUE ...]\n"
        "```\n"
        "```yaml\n"
        "python: 3\n"
        "```\n"
    )
    first, second = read_commands(path)
    assert first.place == "some.md:3"
    assert read_calls(first.text) == [Call("train", ["A.yaml", "a.b=1"])]
    assert read_calls(second.text) == [
        Call("export", ["CHECKPOINT", "--format", each, "--out", "FILE", "KEY=VALUE"])
        for each in ("onnx", "litert")
    ]
    assert read_mentions(path) == [Line("some.md:1", "tools/train.py --resume")]


@pytest.mark.parametrize(
    ("block", "found"),
    [("bash\nsudo make test", "sudo is no program"), ("\nsudo tools/train.py CONFIG", "sudo")],
)
def test_no_command_goes_unread(tmp_path: Path, block: str, found: str) -> None:
    path = tmp_path / "some.md"
    path.write_text(f"```{block}\n```\n")
    with pytest.raises(AssertionError, match=found):
        read_commands(path)
