"""A page to try a network: `python tools/demo.py CHECKPOINT_OR_EXPORTED_MODEL [--port N]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import run_command

HIGHEST_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    parser = argparse.ArgumentParser(
        description="Serve a page on this machine: drop a picture, see its boxes or its mask."
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
    return run_command(lambda: run(options))


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


if __name__ == "__main__":
    sys.exit(main())
