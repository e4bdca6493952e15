"""Shows what the network gets: `python tools/show_data.py CONFIG [key.path=value ...]`."""

import sys

from mnv2_dense.command_line.show_data import main

if __name__ == "__main__":
    sys.exit(main())
