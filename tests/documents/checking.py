"""Whether there is what a document tells its reader to type; nothing is run."""

import io
import re
import tomllib
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from mnv2_dense.command_line.main import COMMANDS
from mnv2_dense.config.loader import CONFIG_SUFFIXES, load_any_config
from mnv2_dense.config.shipped import shipped_configs
from mnv2_dense.errors import UserError
from tests.commands.tiny import ROOT, load_tool
from tests.documents.reading import Call, Line, read_calls, read_words

OURS = (("configs",), ("docs",))
"""Folders of the checkout: what a command names in one of them is there."""
OF_PROGRAM = ("--help", "--version")
"""What `mnv2-dense` itself takes in a command's place."""


def check_command(line: Line) -> None:
    """Checks a line that is typed.

    Raises:
        AssertionError: It would be refused.
    """
    calls = [call for call in read_calls(line.text) if call.name not in OF_PROGRAM]
    for call in calls:
        check_call(line.place, call)
    if not calls:
        check_other(line)


def check_call(place: str, call: Call) -> None:
    """Parses a call, and reads the config that it names with the changes that it makes.

    Raises:
        AssertionError: There is no such command, option, config, key or value.
    """
    options = parse(place, call)
    named = [each for each in vars(options).values() if isinstance(each, Path)]
    missing = [each for each in named if each.parts[:1] in OURS and not (ROOT / each).exists()]
    assert not missing, f"{place}: there is no {missing[0]}"
    configs = [each for each in named if each.suffix in CONFIG_SUFFIXES]
    ours = [ROOT / each for each in configs if (ROOT / each).exists()]
    overrides = getattr(options, "overrides", [])
    # What belongs to the reader, a config or a checkpoint, may be of any task.
    mistakes = [mistake_of(each, overrides) for each in ours or shipped_configs().values()]
    assert "" in mistakes, f"{place}: {mistakes[0]}"


def mistake_of(config: Path, overrides: Sequence[str]) -> str:
    try:
        load_any_config(config, overrides)
    except UserError as error:
        return str(error)
    return ""


def parse(place: str, call: Call) -> Namespace:
    """The options of a call.

    Raises:
        AssertionError: There is no such command or option, or one is missing.
    """
    assert call.name in COMMANDS, f"{place}: there is no command {call.name}"
    errors = io.StringIO()
    try:
        with redirect_stderr(errors):
            return read_options(call)
    except SystemExit:
        message = errors.getvalue().splitlines()[-1]
    raise AssertionError(f"{place}: {message}")


def read_options(call: Call) -> Namespace:
    module = load_tool(call.name)
    if call.name == "benchmark":
        return module.read_command(call.words)[1]
    return module.read_options(call.words)


def check_other(line: Line) -> None:
    """Checks a line that calls none of our commands.

    Raises:
        AssertionError: There is no such target of make, no such extra or no such script.
    """
    program, *words = read_words(line.text)
    named = [word for word in words if not word.startswith("-")]
    match Path(program).name:
        case "make":
            targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            missing = {word for word in named if "=" not in word} - {*targets}
        case "pip":
            wanted = re.findall(r"\[([\w,]+)\]", line.text)
            missing = {each for names in wanted for each in names.split(",")} - extras()
        case "python" | "bash" | "sh":
            missing = {word for word in named if word.endswith((".py", ".sh"))}
            missing = {word for word in missing if not (ROOT / word).is_file()}
        case _:
            missing = set()
    assert not missing, f"{line.place}: there is no {', '.join(sorted(missing))}"


def extras() -> set[str]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return {*tomllib.loads(text)["project"]["optional-dependencies"]}


def check_mention(line: Line) -> None:
    """Looks for a command's options in its help.

    Raises:
        AssertionError: There is no such command, or it has no such option.
    """
    for name, words in read_calls(line.text):
        assert name in COMMANDS, f"{line.place}: there is no command {name}"
        kind = words[:1] if name == "benchmark" else []
        text = help_of(name, kind)
        options = [word.partition("=")[0] for word in words if word.startswith("--")]
        unknown = [option for option in options if not re.search(rf"{option}\b", text)]
        assert not unknown, f"{line.place}: {name} has no {', '.join(unknown)}"


def help_of(name: str, kind: Sequence[str]) -> str:
    shown = io.StringIO()
    with redirect_stdout(shown), suppress(SystemExit):
        read_options(Call(name, [*kind, "--help"]))
    return shown.getvalue()
