"""Prints a network layer by layer: `python tools/summary.py CONFIG [key.path=value ...]`."""

import sys

from mnv2_dense.command_line.summary import main

if __name__ == "__main__":
    sys.exit(main())
