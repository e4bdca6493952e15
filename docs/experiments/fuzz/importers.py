"""Spoilt files for the importer and the unpacking of archives; see importers.md.

    MNV2_DENSE_SHARED=... PYTHONPATH=. python docs/experiments/fuzz/importers.py --cases 40000

Only a UserError of one line, or success, is allowed. A case is decided by seed, target and number
alone; `--only tflite:1234` runs one with its traceback. With `--coverage` atheris chooses the
changes by what code they reach, in place of the plain count.
"""

import argparse
import faulthandler
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from importer_targets import TARGETS, Target

from mnv2_dense.errors import UserError

BATCH = 100
MEMORY = 3 * 2**30
SECONDS = 10
ALLOWED = ("read", "refused")


class HangError(BaseException):
    """A case went on for too long; no part of the program may catch it."""


def spoilt(target: Target, seed: int, number: int) -> tuple[str, bytes]:
    """Name and content of a case's file."""
    chance = random.Random(f"{seed}/{target.name}/{number}")
    name, content = chance.choice(target.seeds())
    change = chance.choice(target.changes(name))
    return name, change(chance, content)


def run_case(target: Target, name: str, content: bytes) -> str:
    """How it ended: "read", "refused", or what should not have happened."""
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("FUZZ_FOLDER")))
    signal.alarm(SECONDS)
    faulthandler.dump_traceback_later(3 * SECONDS, exit=True)
    try:
        target.check(folder, name, content)
        return "read"
    except UserError as error:
        return "refused" if "\n" not in str(error) and len(str(error)) < 30_000 else "long message"
    except (Exception, HangError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [each for each in frames if "mnv2_dense/" in each.filename] or frames
        at = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
        return f"{type(error).__name__} at {at}: {str(error)[:80]}"
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        shutil.rmtree(folder, ignore_errors=True)


def guard() -> None:
    """Bounds what this process may take beyond its libraries, and makes warnings errors."""
    signal.signal(signal.SIGALRM, _give_up)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, most))
    warnings.simplefilter("error")


def _give_up(_number: int, _frame: Any) -> None:
    raise HangError


def _work(job: tuple[str, int, int, int]) -> list[tuple[str, int, str, float]]:
    name, seed, first, last = job
    target = TARGETS[name]
    target.seeds()
    guard()
    results = []
    for number in range(first, last):
        started = time.perf_counter()
        result = run_case(target, *spoilt(target, seed, number))
        results.append((name, number, result, time.perf_counter() - started))
    return results


def _explore(name: str, seed: int, cases: int) -> None:
    """The same changes, drawn from numbers that atheris chooses."""
    import atheris

    target = TARGETS[name]
    target.seeds()
    guard()

    def once(data: bytes) -> None:
        chance = random.Random(data)
        file, content = chance.choice(target.seeds())
        if len(data) > 8 and data[0] % 2:
            content = data[8:]  # bytes that atheris itself has found
        else:
            content = chance.choice(target.changes(file))(chance, content)
        result = run_case(target, file, content)
        if result not in ALLOWED:
            print(f"DEFECT {name}: {result}", flush=True)

    atheris.instrument_all()
    corpus = Path(tempfile.mkdtemp())
    for index, (_file, content) in enumerate(target.seeds()):
        if len(content) < 2**14:
            (corpus / str(index)).write_bytes(b"\1" * 8 + content)
    options = [f"-seed={seed + 1}", f"-runs={cases}", "-max_len=16384", "-rss_limit_mb=3000"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], once)
    atheris.Fuzz()


def main() -> int:
    """Runs what the command line says; 1 where something was not allowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="*", default=[*TARGETS])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only")
    parser.add_argument("--coverage", action="store_true")
    options = parser.parse_args()
    if options.only:
        name, number = options.only.split(":")
        guard()
        file, content = spoilt(TARGETS[name], options.seed, int(number))
        TARGETS[name].check(Path(tempfile.mkdtemp()), file, content)
        return 0
    if options.coverage:
        _explore(options.targets[0], options.seed, options.cases)
        return 0
    return _run_all(options)


def _run_all(options: argparse.Namespace) -> int:
    shares = {name: TARGETS[name].share for name in options.targets}
    jobs = []
    for name, share in shares.items():
        count = round(options.cases * share / sum(shares.values()))
        jobs += [
            (name, options.seed, first, min(first + BATCH, count))
            for first in range(0, count, BATCH)
        ]
    random.Random(0).shuffle(jobs)
    started = time.perf_counter()
    counts: Counter[tuple[str, str]] = Counter()
    slowest: dict[str, tuple[float, int]] = {}
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.processes, maxtasksperchild=40) as pool:
        for done, results in enumerate(pool.imap_unordered(_work, jobs), start=1):
            for name, number, result, seconds in results:
                counts[name, result] += 1
                slowest[name] = max(slowest.get(name, (0.0, 0)), (seconds, number))
                if result not in ALLOWED:
                    print(f"DEFECT {name}:{number}: {result}", flush=True)
            if done % 20 == 0 or done == len(jobs):
                _report(counts, slowest, time.perf_counter() - started)
    return int(any(result not in ALLOWED for _, result in counts))


def _report(
    counts: Counter[tuple[str, str]], slowest: dict[str, tuple[float, int]], seconds: float
) -> None:
    print(f"{sum(counts.values())} cases in {seconds:.0f} s")
    for (name, result), count in sorted(counts.items()):
        print(f"  {name:10} {count:7} {result}")
    for name, (longest, number) in sorted(slowest.items()):
        print(f"  {name:10} slowest {longest:.2f} s, case {number}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
