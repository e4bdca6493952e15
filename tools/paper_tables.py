"""The paper's tables, computed: `python tools/paper_tables.py [--table 3|4|5|6|7|figure1]`."""

import sys

from mnv2_dense.command_line.paper_tables import main

if __name__ == "__main__":
    sys.exit(main())
