"""Draws the built-in data set: `python tools/make_shapes.py ROOT [--train N] [--seed S] ...`."""

import sys

from mnv2_dense.command_line.make_shapes import main

if __name__ == "__main__":
    sys.exit(main())
