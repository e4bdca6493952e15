"""Runs cases in a process of their own, with limits, and counts how they end.

A case is made from the seed and its number alone. Its process may use 2 GB more than it has when it
starts, and five seconds of a processor a case, or sixty of the clock; when it dies, another goes on
behind the case that it died of.
"""

import json
import multiprocessing
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, NoReturn

from mnv2_dense.errors import UserError

MEMORY = 2 << 30
SECONDS = 5
CLOCK_SECONDS = 60
"""Longer, as other work may go on beside it; a pipe that never begins takes no processor."""
LONGEST_MESSAGE = 20_000
MOST_LINES = 60


class Case(NamedTuple):
    """What is tried, and a text or bytes that shows it where it fails."""

    shown: bytes
    run: Callable[[], object]


Maker = Callable[[random.Random], Case]


class TooSlowError(BaseException):
    """A case took longer than `SECONDS`; no part of the program may catch it."""


def try_cases(name: str, make: Maker, count: int, seed: int, output: Path) -> bool:
    """Tries cases 0 to `count`, prints one line of counts, keeps those that fail in `output`.

    Returns:
        Whether all ended well: with a result, or with a `UserError` that is short and printable.
    """
    started = time.perf_counter()
    ends: Counter[str] = Counter()
    number = 0
    while number < count:
        number = _run_worker(name, make, range(number, count), seed, output, ends)
    seconds = time.perf_counter() - started
    failed = sum(ends.values()) - ends["result"] - ends["refused"]
    report = {"reader": name, "seed": seed, "cases": count, **ends, "failed": failed}
    print(json.dumps({**report, "seconds": round(seconds)}), flush=True)
    return failed == 0


def _run_worker(
    name: str, make: Maker, numbers: range, seed: int, output: Path, ends: Counter[str]
) -> int:
    """Runs one process until it is done or dies; returns the number to go on with."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(name, make, numbers, seed, output, sender))
    process.start()
    sender.close()
    done = numbers.start
    try:
        while True:
            end = receiver.recv()
            ends[end] += 1
            done += 1
            if done % 1000 == 0:
                print(
                    f"{name} seed {seed}: {done} cases, {dict(ends)}", file=sys.stderr, flush=True
                )
    except EOFError:
        process.join()
    if done < numbers.stop:
        print(f"{name} case {done}: the process died ({process.exitcode})", flush=True)
        ends["died"] += 1
        done += 1
    return done


def _work(
    name: str, make: Maker, numbers: range, seed: int, output: Path, sender: Connection
) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, _too_slow)
    signal.signal(signal.SIGPROF, _too_slow)
    for number in numbers:
        case = make(random.Random(f"{seed}/{name}/{number}"))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(CLOCK_SECONDS)
        end, text = try_case(case)
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if text:
            folder = output / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.case").write_bytes(case.shown)
            (folder / f"{number}.txt").write_text(text, errors="backslashreplace")
        sender.send(end)
    sender.close()


def try_case(case: Case) -> tuple[str, str]:
    """How a case ends, and what tells of it; nothing where it ends well."""
    try:
        case.run()
    except UserError as error:
        return _judge(str(error))
    except TooSlowError:
        return "too slow", traceback.format_exc()
    except MemoryError:
        return "memory", traceback.format_exc()
    except BaseException as error:
        return f"traceback {type(error).__name__}", traceback.format_exc()
    return "result", ""


def _judge(message: str) -> tuple[str, str]:
    lines = message.split("\n")
    if len(message) > LONGEST_MESSAGE or len(lines) > MOST_LINES:
        return "long message", message
    if not all(line.isprintable() for line in lines):
        return "unprintable message", message
    return "refused", ""


def _too_slow(*_: object) -> NoReturn:
    raise TooSlowError
