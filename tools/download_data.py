"""Brings a public data set: `python tools/download_data.py coco|voc|sbd [--root DIR]`."""

import sys

from mnv2_dense.command_line.download_data import main

if __name__ == "__main__":
    sys.exit(main())
