"""Writes a run's page: `python tools/report.py RUN [data.root=FOLDER]`."""

import sys

from mnv2_dense.command_line.report import main

if __name__ == "__main__":
    sys.exit(main())
