"""A page to try a network: `python tools/demo.py CHECKPOINT_OR_EXPORTED_MODEL [--port N]`."""

import sys

from mnv2_dense.command_line.demo import main

if __name__ == "__main__":
    sys.exit(main())
