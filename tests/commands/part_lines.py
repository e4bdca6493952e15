"""A job of three pictures, whose results are there though no network saw them."""

from pathlib import Path
from typing import Any

from mnv2_dense.commands.outputs import Outputs
from mnv2_dense.commands.prediction_parts import Part, done_line, stamp_of

NAMES = "abc"


def make_outputs(folder: Path) -> Outputs:
    """Of a.jpg, b.jpg and c.jpg in the folder, and what was drawn of them."""
    made = Outputs(folder / "out", ("",), "a.json")
    pictures = [folder / f"{name}.jpg" for name in NAMES]
    made.claim(pictures)
    for picture in pictures:
        picture.write_bytes(b"picture")
        made.files(picture.stem)[0].write_bytes(b"drawn")
    return made


def line_of(outputs: Outputs, position: int, *records: dict[str, Any]) -> dict[str, Any]:
    """What is noted of a picture that gave some records."""
    path, _, name = outputs.list.pictures[position]
    return done_line(position, stamp_of(Path(path)), outputs.files(name), records)


def note(outputs: Outputs, *lines: dict[str, Any]) -> None:
    """Writes lines as a process of the job would."""
    with Part(outputs.job) as part:
        for line in lines:
            part.add(line)
