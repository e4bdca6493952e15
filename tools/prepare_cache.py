"""Writes a resized copy of a data set: `python tools/prepare_cache.py CONFIG --out DIR`."""

import sys

from mnv2_dense.command_line.prepare_cache import main

if __name__ == "__main__":
    sys.exit(main())
