"""Mean and spread of what `run.sh` trained: `python summarize.py OUTPUT`, as a Markdown table."""

import json
import sys
from pathlib import Path
from statistics import mean, stdev

TASKS = {"ssdlite": "mAP", "deeplabv3": "mIoU"}
VARIANTS = (
    "mobilenet_v2",
    "relu6_bottleneck",
    "no_shortcut",
    "expansion_shortcut",
    "mobilenet_v1",
)


def scores(output: Path, task: str, variant: str) -> dict[str, float]:
    """The final scores of a variant by seed, of those runs that have finished."""
    files = sorted(output.glob(f"{task}-{variant}-*/*/metrics.json"))
    return {
        path.parts[-3].rpartition("-")[2]: json.loads(path.read_text())[TASKS[task]]
        for path in files
    }


def main(output: Path) -> None:
    """Prints a line per task and variant, with its mean distance from MobileNetV2 by seed."""
    print("| task | variant | score by seed | mean | spread | against MobileNetV2 |")
    print("|---|---|---|---|---|---|")
    for task, name in TASKS.items():
        base = scores(output, task, VARIANTS[0])
        for variant in VARIANTS:
            found = scores(output, task, variant)
            if not found:
                continue
            each = ", ".join(f"{score:.3f}" for score in found.values())
            spread = f"{stdev(found.values()):.3f}" if len(found) > 1 else "-"
            gaps = [found[seed] - base[seed] for seed in found if seed in base]
            gap = f"{mean(gaps):+.3f}" if gaps else "-"
            print(
                f"| {task} ({name}) | {variant} | {each} | {mean(found.values()):.3f} "
                f"| {spread} | {gap} |"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
