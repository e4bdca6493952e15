"""Proposes anchors for a data set: `python tools/fit_anchors.py CONFIG [key.path=value ...]`."""

import sys

from mnv2_dense.command_line.fit_anchors import main

if __name__ == "__main__":
    sys.exit(main())
