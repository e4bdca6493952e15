"""Checks a data set: `python tools/check_data.py CONFIG_OR_FOLDER [key.path=value ...]`."""

import sys

from mnv2_dense.command_line.check_data import main

if __name__ == "__main__":
    sys.exit(main())
