"""Pictures of an evaluation: ground truth beside predictions."""

from pathlib import Path

from PIL import Image

from mnv2_dense.builders import Index
from mnv2_dense.commands.column import Column
from mnv2_dense.commands.session import say


def write_pictures(column: Column, index: Index, folder: Path, count: int) -> None:
    """Writes the first `count` pictures of the set, ground truth left, prediction right."""
    if count == 0:
        return
    shown = min(count, len(index))
    for position in range(shown):
        name, picture = column.draw_pair(index, position)
        target = folder / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)  # a name may hold folders
        Image.fromarray(picture).save(target)
    say(f"wrote {shown} pictures (ground truth left, predictions right) to {folder}")
