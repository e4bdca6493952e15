"""A checkpoint for other runtimes: `python tools/export.py CHECKPOINT --format FORMAT`."""

import sys

from mnv2_dense.command_line.export import main

if __name__ == "__main__":
    sys.exit(main())
