"""Trained weights of other programs: `python tools/import_weights.py SOURCE [--out PATH]`."""

import sys

from mnv2_dense.command_line.import_weights import main

if __name__ == "__main__":
    sys.exit(main())
