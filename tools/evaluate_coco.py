"""Scores COCO results: `python tools/evaluate_coco.py ANNOTATIONS RESULTS`."""

import sys

from mnv2_dense.command_line.evaluate_coco import main

if __name__ == "__main__":
    sys.exit(main())
