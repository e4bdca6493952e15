"""DeepLabv3 beside its peers: `python tools/compare/segmentation.py --data voc=FOLDER ...`.

See tools/compare/README.md. A run that has finished is not made again.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file, it finds its folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the comparison."""
    from mnv2_dense.cli import run_command
    from tools.compare.command_line import read_arguments

    options = read_arguments(
        "Train segmenters of this project and of others at equal cost, and compare them.",
        "voc=FOLDER, or shapes: the built-in scenes",
        "light, aspp, aspp_last; smp_deeplabv3_mobilenet_v2, "
        "torchvision_deeplabv3_mobilenet_v3_large",
        arguments,
    )

    def run() -> None:
        from tools.compare.comparison import compare
        from tools.compare.segmentation_side import SIDE

        compare(SIDE, options)

    return run_command(run)


if __name__ == "__main__":
    sys.exit(main())
