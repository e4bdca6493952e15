"""Pictures per second of one and of two processes at once, each of one thread, picture by picture.

    python docs/experiments/prediction_speed/processes.py MODEL PICTURES

What two threads can bring at most where they share nothing.
"""

import argparse
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Queue
from time import perf_counter

import mnv2_dense

PICTURES, WARM, ROUNDS = 64, 5, 2


def main() -> None:
    """Prints the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    options = parser.parse_args()
    paths = sorted(options.pictures.glob("*.jpg"))[:PICTURES]
    for count in (1, 2, 1, 2):
        rates = run(options.model, paths, count)
        print(count, "processes:", " + ".join(f"{rate:.1f}" for rate in rates), "pictures/s")


def run(model: Path, paths: list[Path], count: int) -> list[float]:
    """Pictures per second of every process."""
    context = get_context("spawn")
    start, rates = context.Barrier(count), context.Queue()
    processes = [
        context.Process(target=predict, args=(model, paths, start, rates)) for _ in range(count)
    ]
    for process in processes:
        process.start()
    return [rates.get() for _ in processes]


def predict(model: Path, paths: list[Path], start: Barrier, rates: "Queue[float]") -> None:
    """What a process does."""
    predictor = mnv2_dense.load(model, threads=1)
    for path in paths[:WARM]:
        predictor.predict(path)
    start.wait()
    begun = perf_counter()
    for path in paths * ROUNDS:
        predictor.predict(path)
    rates.put(len(paths) * ROUNDS / (perf_counter() - begun))


if __name__ == "__main__":
    main()
