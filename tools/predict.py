"""Boxes, label maps or names of pictures: `python tools/predict.py SOURCE ... --weights PATH`."""

import sys

from mnv2_dense.command_line.predict import main

if __name__ == "__main__":
    sys.exit(main())
