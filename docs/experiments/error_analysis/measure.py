"""Times the error analysis of as many images, objects and detections as COCO's val2017 has.

python measure.py FOLDER

Writes both files to the folder, then measures in this process: columns in memory, and the files.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from mnv2_dense.benchmarking.evaluation.random_boxes import Counts, draw_boxes
from mnv2_dense.coco_evaluation import evaluate, ground_truth_of, results_of
from mnv2_dense.error_analysis import analyze_errors, confusion_matrix

REPETITIONS = 5


def main() -> None:
    """Prints seconds of processor time and the peak of the process."""
    folder = Path(sys.argv[1])
    paths = folder / "instances.json", folder / "detections.json"
    if not paths[1].exists():
        for path, content in zip(paths, draw_boxes(Counts()), strict=True):
            path.write_text(json.dumps(content))
        print("files written; call it again to measure")
        return
    tell("analyze_errors of files", lambda: analyze_errors(*paths))
    print(
        f"peak of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
    )
    truth, results = (json.loads(path.read_text()) for path in paths)
    columns = ground_truth_of(truth), results_of(results)
    print(f"{len(columns[0].image_ids)} images, {len(columns[0].labels)} objects,", end=" ")
    print(f"{len(columns[1].labels)} detections")
    tell("analyze_errors of columns", lambda: analyze_errors(*columns))
    tell("evaluate of columns", lambda: evaluate(*columns))
    tell("confusion_matrix of columns", lambda: confusion_matrix(*columns, 0.3))


def tell(name: str, call: Callable[[], Any]) -> None:
    """Prints the processor time of some calls: median, least and most."""
    seconds = []
    for _ in range(REPETITIONS):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    print(f"{name}: {median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")


if __name__ == "__main__":
    main()
