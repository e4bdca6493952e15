"""What every benchmark does with its figures: shows them as they come, and writes them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mnv2_dense.benchmarking.machine import describe_machine, use_threads
from mnv2_dense.benchmarking.report import Section
from mnv2_dense.commands.outputs import check_output
from mnv2_dense.commands.session import quiet_lightning, say
from mnv2_dense.commands.stopping import ended_by_sigterm
from mnv2_dense.errors import UserError
from mnv2_dense.training.runs import write_json

FEW = 10
"""Repetitions below which medians say little."""


def run(sections: Iterable[Section], *, threads: int, repetitions: int, out: Path | None) -> None:
    """Measures with so many threads, shows what comes, and writes all of it.

    Args:
        sections: Measured as they are asked for.
        threads: Of PyTorch and OpenCV.
        repetitions: Of every call.
        out: JSON file, replaced if there; None writes nothing.

    Raises:
        UserError: `out` cannot be written, or something cannot be measured.
    """
    check_out(out)
    quiet_lightning()
    use_threads(threads)
    about = {"machine": say_machine(threads), "threads": threads}
    with ended_by_sigterm():
        tell(sections, about, out, repetitions)


def check_out(path: Path | None) -> None:
    """Refuses a place for the figures that cannot be written, before the work.

    Raises:
        UserError: It is a folder, or below something that is none.
    """
    if path is None:
        return
    if path.is_dir():
        raise UserError(f"--out {path}: is a folder; give the name of a JSON file")
    check_output(path.parent)


def say_machine(threads: int) -> dict[str, Any]:
    """Prints what the figures are measured on; to be called before the work."""
    machine = describe_machine()
    say(f"{machine['processor']}, {machine['cores']} cores; {threads} threads each")
    say(", ".join(f"{name} {value}" for name, value in list(machine.items())[2:]))
    return machine


def tell(
    sections: Iterable[Section], about: Mapping[str, Any], out: Path | None, repetitions: int
) -> None:
    """Prints each section as soon as it is measured, and writes all that are.

    Args:
        sections: Measured as they are asked for.
        about: What else is written: the machine, threads, what was shown.
        out: JSON file, replaced if there; None writes nothing.
        repetitions: Of every call; few are said to be few.
    """
    told = []
    for section in sections:
        if repetitions < FEW and section.ratios:
            section.notes.append(f"medians of {repetitions}: too few for the ratios to mean much")
        say("\n".join(section.lines()))
        told.append(section.as_dict())
        if out is not None:  # What is there is kept whatever becomes of the rest.
            out.parent.mkdir(parents=True, exist_ok=True)
            write_json(out, {**about, "sections": told})
    if out is not None:
        say(f"wrote {out}")
