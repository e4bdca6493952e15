"""Compares runs with their band: `python tools/check_score.py RUN ... --band FILE`."""

import sys

from mnv2_dense.command_line.check_score import main

if __name__ == "__main__":
    sys.exit(main())
