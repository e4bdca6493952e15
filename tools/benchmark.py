"""Times on this machine: `python tools/benchmark.py predict`, or another of its kinds."""

import sys

from mnv2_dense.command_line.benchmark import main

if __name__ == "__main__":
    sys.exit(main())
