"""`mnv2-dense COMMAND ...`: each command is imported when it is called, and no other."""

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

import mnv2_dense
from mnv2_dense.cli import EXIT_MISTAKE, run_command
from mnv2_dense.errors import UserError
from mnv2_dense.quoting import quote

COMMANDS = {
    "train": "train what a config describes",
    "evaluate": "score a checkpoint or an exported model",
    "report": "write what became of a run as one page",
    "check_score": "compare finished runs with the scores of their recipe",
    "predict": "boxes, label maps or names of pictures, videos and cameras",
    "export": "write a checkpoint as a file of another runtime",
    "demo": "serve a page on which to try a network",
    "configs": "list the configs that come with it, or copy one",
    "summary": "print a network layer by layer",
    "check_data": "read all pictures and annotations once and report what is wrong",
    "show_data": "draw training samples as the network gets them",
    "convert_data": "write a data set in another format",
    "download_data": "bring COCO, Pascal VOC or SBD",
    "make_shapes": "draw the built-in data set",
    "prepare_cache": "write a copy of a data set with smaller pictures, which loads faster",
    "fit_anchors": "propose anchors for the boxes of a data set",
    "import_weights": "trained weights of other programs as a checkpoint",
    "verify_weights": "run a .tflite file beside the checkpoint that was imported from it",
    "evaluate_coco": "score a file of COCO results",
    "analyze_errors": "say where a file of COCO results loses its AP",
    "paper_tables": "count the networks of the paper's tables, beside its figures",
    "benchmark": "measure how fast it is on this machine",
}
"""Every command and what it does, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that the first word names, with the words after it."""
    name, *rest = [*(sys.argv[1:] if arguments is None else arguments)] or [""]
    if name in COMMANDS:
        return int(import_module(f"mnv2_dense.command_line.{name}").main(rest))
    if name == "--version":
        return run_command(lambda: print(f"mnv2-dense {mnv2_dense.__version__}"))
    if name in ("", "-h", "--help"):
        return run_command(lambda: print(overview())) or (0 if name else EXIT_MISTAKE)
    return run_command(lambda: refuse(name))


def overview() -> str:
    """The help: what there is to call."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: mnv2-dense COMMAND ...",
            "",
            *(mnv2_dense.__doc__ or "").splitlines()[:1],
            "",
            "commands:",
            *lines,
            "",
            "`mnv2-dense COMMAND --help` says more; `mnv2-dense --version` prints the version.",
        ]
    )


def refuse(name: str) -> None:
    """Says that there is no such command.

    Raises:
        UserError: Always.
    """
    near = difflib.get_close_matches(name.replace("-", "_"), COMMANDS, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise UserError(f"{quote(name)}: no such command; {meant}`mnv2-dense --help` lists all of them")
