"""Damages a real checkpoint in many ways: python docs/experiments/fuzz/checkpoints.py CHECKPOINT.

Every case must be read or refused with UserError, within 5 s and 500 MB; a sealed file that was
changed must be refused.
"""

import argparse
import io
import multiprocessing
import pickletools
import random
import resource
import signal
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import torch

from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_checkpoint, write_sealed

CHUNK = 500
"""Cases of one process."""
SECONDS = 5
MEMORY = 500 * 2**20
KEPT = 3
"""Entries of a long dictionary or list that are kept of the checkpoint."""
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
NAMES = (
    "os\nsystem",
    "builtins\neval",
    "builtins\nbytearray",
    "builtins\nset",
    "builtins\ncomplex",
    "collections\nCounter",
    "collections\nOrderedDict",
    "_codecs\nencode",
    "torch\nTensor",
    "torch\nSize",
    "torch\ndevice",
    "torch\nFloatStorage",
    "torch\nDoubleStorage",
    "torch._utils\n_rebuild_tensor_v2",
    "torch._utils\n_rebuild_tensor_v3",
    "torch._utils\n_rebuild_parameter",
    "torch._utils\n_rebuild_qtensor",
    "torch._utils\n_rebuild_sparse_tensor",
    "torch._utils\n_rebuild_wrapper_subclass",
    "torch._tensor\n_rebuild_from_type_v2",
)

Mutation = Callable[[bytes, random.Random], bytes]


def main() -> None:
    """Runs all cases and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    begun = time.monotonic()
    seeds = make_seeds(shrink(read_checkpoint(options.checkpoint)))
    chunks = list(range(0, options.cases, CHUNK))
    counts: Counter[tuple[str, str, str]] = Counter()
    largest = 0
    while chunks:
        found: Queue[tuple[Counter[tuple[str, str, str]], int]] = multiprocessing.Queue()
        running = [
            multiprocessing.Process(target=run_chunk, args=(seeds, chunks.pop(0), found))
            for _ in range(min(options.processes, len(chunks)))
        ]
        for process in running:
            process.start()
        for process in running:
            process.join()
            if process.exitcode != 0:
                raise SystemExit(f"a case failed or hung: exit code {process.exitcode}")
            some, grown = found.get()
            counts += some
            largest = max(largest, grown)
    report(counts, largest, time.monotonic() - begun)


def report(counts: Counter[tuple[str, str, str]], largest: int, seconds: float) -> None:
    """The table of ends by form and damage, and the figures under it."""
    print("| file | damage | read | refused |\n|---|---|---|---|")
    for form, damage in sorted({key[:2] for key in counts}):
        read, refused = (counts[form, damage, end] for end in ("read", "refused"))
        print(f"| {form} | {damage} | {read} | {refused} |")
    print(f"{counts.total()} cases in {seconds:.0f} s; memory grew by {largest / 2**20:.0f} MB")


def shrink(value: Any) -> Any:
    """The checkpoint with a few entries in each container."""
    if isinstance(value, dict):
        long = len(value) > 4 * KEPT
        names = list(value)[:KEPT] if long else list(value)
        return {name: shrink(value[name]) for name in names}
    if isinstance(value, list):
        return [shrink(part) for part in value[:KEPT]]
    return value.flatten()[:KEPT].clone() if isinstance(value, torch.Tensor) else value


def make_seeds(content: dict[str, Any]) -> dict[str, bytes]:
    """The content as a sealed file, one without a seal, and one of before torch 1.6."""
    sealed, plain, legacy = io.BytesIO(), io.BytesIO(), io.BytesIO()
    write_sealed(content, sealed)
    torch.save(content, plain)
    torch.save(content, legacy, _use_new_zipfile_serialization=False)
    return {
        "sealed": sealed.getvalue(),
        "no seal": plain.getvalue(),
        "legacy": legacy.getvalue(),
    }


def run_chunk(seeds: dict[str, bytes], first: int, found: "Queue[Any]") -> None:
    """`CHUNK` cases; a hang or a violation ends the process with another code than 0."""
    counts: Counter[tuple[str, str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ckpt"
        for data in seeds.values():
            path.write_bytes(data)
            read_checkpoint(path)
        before = memory()
        for case in range(first, first + CHUNK):
            chance = random.Random(case)
            damage = chance.choice(list(MUTATIONS))
            form = "no seal" if damage == "opcodes" else chance.choice(list(seeds))
            while (data := MUTATIONS[damage](seeds[form], chance)) == seeds[form]:
                pass
            path.write_bytes(data)
            end = outcome(path, case)
            if form == "sealed" and end == "read":
                raise AssertionError(f"case {case}: a sealed file was changed and read")
            counts[form, damage, end] += 1
    grown = memory() - before
    if grown > MEMORY:
        raise AssertionError(f"cases from {first}: memory grew by {grown} bytes")
    found.put((counts, grown))


def outcome(path: Path, case: int) -> str:
    """Whether the file is read or refused; anything else ends the process."""
    # Its default action ends the process, also within a loop that is not Python's.
    signal.alarm(SECONDS)
    try:
        read_checkpoint(path)
    except UserError as error:
        if "\n" in str(error):
            raise AssertionError(f"case {case}: several lines") from error
        return "refused"
    except BaseException as error:
        raise AssertionError(f"case {case}: {type(error).__name__}") from error
    finally:
        signal.alarm(0)
    return "read"


def memory() -> int:
    """Largest resident memory of this process so far, bytes (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def flip_bits(data: bytes, chance: random.Random) -> bytes:
    """One to eight bits the other way round, anywhere."""
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def cut(data: bytes, chance: random.Random) -> bytes:
    """The beginning of the file."""
    return data[: chance.randrange(len(data))]


def splice(data: bytes, chance: random.Random) -> bytes:
    """A piece taken from one place, put in at another, over what is there or between it."""
    start, place = chance.randrange(len(data)), chance.randrange(len(data))
    piece = data[start : start + chance.choice((0, 1, 4, 64, 1024))]
    return data[:place] + piece + data[place + chance.choice((0, len(piece), 100)) :]


def write_edges(data: bytes, chance: random.Random) -> bytes:
    """Numbers at the edges of their types over the list of records at the end."""
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 2, 4))):
        width = chance.choice((2, 4, 8))
        value = chance.choice(EDGES) & (2 ** (8 * width) - 1)
        place = len(data) - width - chance.randrange(min(2000, len(data) - width))
        damaged[place : place + width] = value.to_bytes(width, "little")
    return bytes(damaged)


def change_pickle(data: bytes, chance: random.Random) -> bytes:
    """Opcodes of the pickle left out, doubled, exchanged and replaced, in a whole archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change_opcodes(content, chance) if ".pkl" in name else content)
    return target.getvalue()


def change_opcodes(pickled: bytes, chance: random.Random) -> bytes:
    """One to five opcodes with their arguments left out, doubled, exchanged or replaced."""
    places = [place for _, _, place in pickletools.genops(pickled)]
    parts = [pickled[start:end] for start, end in pairwise([*places, len(pickled)])]
    for _ in range(chance.choice((1, 1, 2, 5))):
        place, other = chance.randrange(len(parts)), chance.randrange(len(parts))
        parts[place : place + chance.choice((0, 1))] = chance.choice(
            ([], [parts[other]], [parts[place]] * 2, [hostile(chance)])
        )
    return b"".join(parts)


def hostile(chance: random.Random) -> bytes:
    """An opcode or three that a checkpoint should not have, or that ask for much."""
    number = chance.choice(EDGES).to_bytes(9, "little")
    return chance.choice(
        (
            b"c" + chance.choice(NAMES).encode() + b"\n",
            b"c" + chance.choice(NAMES).encode() + b"\nJ\xff\xff\xff\x7f\x85R",
            b"c" + chance.choice(NAMES).encode() + b"\n)R",
            b"\x8a" + bytes([len(number)]) + number,
            chance.choice((b"R", b"b", b"\x81", b"Q", b"(", b"t", b"e", b"u", b"s", b"a", b".")),
            bytes([chance.randrange(256)]),
        )
    )


MUTATIONS: dict[str, Mutation] = {
    "bits": flip_bits,
    "cut": cut,
    "splice": splice,
    "edges": write_edges,
    "opcodes": change_pickle,
}


if __name__ == "__main__":
    main()
