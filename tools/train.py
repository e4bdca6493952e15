"""Trains what a config describes: `python tools/train.py CONFIG [key.path=value ...]`."""

import sys

from mnv2_dense.command_line.train import main

if __name__ == "__main__":
    sys.exit(main())
