"""Measures a checkpoint or an exported model: `python tools/evaluate.py PATH [CONFIG] [KEY=VALUE]`.

`KEY=VALUE` changes the config: `data.root=FOLDER`.
"""

import sys

from mnv2_dense.command_line.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
