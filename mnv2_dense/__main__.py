"""`python -m mnv2_dense` is `mnv2-dense`."""

import sys

from mnv2_dense.command_line.main import main

if __name__ == "__main__":
    sys.exit(main())
