"""Measures a checkpoint or an exported model: `mnv2-dense evaluate PATH [CONFIG] [KEY=VALUE]`.

`KEY=VALUE` changes the config: `data.root=FOLDER`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command
from mnv2_dense.config.shipped import find_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("evaluate"),
        description="Print and write the scores of a checkpoint or an exported model.",
    )
    parser.add_argument(
        "source",
        type=find_config,
        help="a checkpoint, a config with --weights, or an exported model",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key.path=value",
        help="config changes; before them, for an exported model, a CONFIG whose data it is "
        "measured on (default: the one it was exported with)",
    )
    parser.add_argument("--weights", type=Path, help="checkpoint to measure by a config")
    parser.add_argument(
        "--out", type=Path, help="folder for the files (default: evaluation-NAME in the run)"
    )
    parser.add_argument(
        "--pictures", type=int, default=0, help="pictures to draw, ground truth beside predictions"
    )
    parser.add_argument(
        "--engine", help="of an exported model: onnx, openvino, litert or torch_export"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of an exported model")
    options = parser.parse_intermixed_args(arguments)
    if options.pictures < 0:
        parser.error(f"--pictures is a number of at least 0, not {options.pictures}")
    first = options.overrides[0] if options.overrides else ""
    is_config = "=" not in first and Path(first).suffix in (".yaml", ".yml")
    options.config = find_config(options.overrides.pop(0)) if is_config else None
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.config.loader import check_file

    check_file(options.source, options.overrides)

    from mnv2_dense.commands.evaluate import evaluate

    evaluate(
        options.source,
        options.overrides,
        weights=options.weights,
        out=options.out,
        pictures=options.pictures,
        given=options.config,
        engine=options.engine,
        threads=options.threads,
    )
