"""Proof of an import: `python tools/verify_weights.py FILE.tflite CHECKPOINT [PICTURE ...]`."""

import sys

from mnv2_dense.command_line.verify_weights import main

if __name__ == "__main__":
    sys.exit(main())
