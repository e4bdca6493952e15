"""Says where a detector loses its AP: `python tools/analyze_errors.py ANNOTATIONS RESULTS`."""

import sys

from mnv2_dense.command_line.analyze_errors import main

if __name__ == "__main__":
    sys.exit(main())
