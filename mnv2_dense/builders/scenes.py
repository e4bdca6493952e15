"""The built-in scenes, which training draws into a folder that is not there."""

from pathlib import Path

from mnv2_dense.config.sections import Data

DRAWN = Path("annotations", "instances_train2017.json")
"""A file that every version has drawn."""


def advise(data: Data) -> str | None:
    """What to do where files of a data section are missing; None where they are not ours to draw.

    Nobody is told to remove a folder that holds something else.
    """
    if data.generate is None:
        return None
    root = Path(data.root)
    if (root / DRAWN).is_file():
        return f"{root} was drawn by an earlier version: name a new folder by data.root"
    return (
        f"data.root={root} holds no built-in scenes: name a folder that is not there, into which "
        "training draws them, or one of mnv2-dense make_shapes"
    )
