"""A page to try a network: `mnv2-dense demo CHECKPOINT_OR_EXPORTED_MODEL [--port N]`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command

HIGHEST_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("demo"),
        description="Serve a page on this machine: drop a picture, see its boxes or its mask.",
    )
    parser.add_argument("weights", type=Path, help="a checkpoint or an exported model")
    parser.add_argument("--port", type=int, default=8000, help="0 for any free (default 8000)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to serve at (default: this machine alone can open the page)",
    )
    parser.add_argument("--engine", help="what runs the network (default: the best installed)")
    parser.add_argument("--threads", type=int, metavar="N", help="of the engine (default: its own)")
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= HIGHEST_PORT:
        parser.error(f"--port is from 0 to {HIGHEST_PORT}, not {options.port}")
    if options.threads is not None and options.threads < 1:
        parser.error(f"--threads is at least 1, not {options.threads}")
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.demo import serve

    serve(
        options.weights,
        host=options.host,
        port=options.port,
        engine=options.engine,
        threads=options.threads,
    )
