"""Trains what a config describes: `mnv2-dense train CONFIG [key.path=value ...]`."""

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
        program("train"), description="Train the network that a config describes."
    )
    parser.add_argument(
        "config",
        type=find_config,
        nargs="?",
        help="a YAML file, see configs/, or a checkpoint: its config and weights to train on from",
    )
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="changes to it")
    parser.add_argument(
        "--weights", type=Path, metavar="PATH", help="checkpoint whose weights the run begins with"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="PATH",
        help="go on from the newest run of this name, from a checkpoint, or with `auto` from the "
        "newest run that has not finished, if there is one",
    )
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="resume also with other data, another input size, batch or seed",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="one batch of each kind; nothing is written"
    )
    parser.add_argument("--print-config", action="store_true", help="show every key and stop")
    parser.add_argument("--print-schema", action="store_true", help="show the schema and stop")
    options = parser.parse_intermixed_args(arguments)
    if options.config is None and not options.print_schema:
        parser.error("a config is needed, e.g. configs/ssdlite_coco.yaml")
    if options.resume and "=" in options.resume and not Path(options.resume).exists():
        # `--resume key=value`: the option stood last before an override and took it for a path.
        options.overrides.append(options.resume)
        options.resume = ""
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for; torch is imported only where something is trained."""
    if options.print_schema:
        from mnv2_dense.config.loader import schema_json

        print(schema_json())
    elif options.print_config:
        from mnv2_dense.commands.print_config import print_config

        print_config(options.config, options.overrides)
    else:
        from mnv2_dense.config.loader import check_file

        check_file(options.config, options.overrides)

        from mnv2_dense.commands.train import train

        train(
            options.config,
            options.overrides,
            weights=options.weights,
            resume=options.resume,
            accept_changes=options.accept_changes,
            dry_run=options.dry_run,
        )
