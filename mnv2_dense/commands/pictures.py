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
    folder.mkdir(parents=True, exist_ok=True)
    shown = min(count, len(index))
    for position in range(shown):
        name, picture = column.draw_pair(index, position)
        Image.fromarray(picture).save(folder / f"{name}.png")
    say(f"wrote {shown} pictures (ground truth left, predictions right) to {folder}")
