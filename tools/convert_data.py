"""Writes a data set in another format: `python tools/convert_data.py SOURCE --to voc --out DIR`."""

import sys

from mnv2_dense.command_line.convert_data import main

if __name__ == "__main__":
    sys.exit(main())
