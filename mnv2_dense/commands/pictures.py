"""Pictures of an evaluation: ground truth beside predictions."""

from pathlib import Path

from PIL import Image

from mnv2_dense.builders.any_task import AnyIndex
from mnv2_dense.commands.column import Column
from mnv2_dense.commands.session import say
from mnv2_dense.errors import UserError


def write_pictures(column: Column, index: AnyIndex, folder: Path, count: int) -> None:
    """Writes the first `count` pictures of the set, ground truth left, prediction right.

    Those of them that could not be measured (`data.on_bad_image=skip`) are passed over.
    """
    if count == 0:
        return
    shown = 0
    for position in range(min(count, len(index))):
        try:
            name, picture = column.draw_pair(index, position)
        except UserError:
            continue
        shown += 1
        target = folder / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)  # a name may hold folders
        Image.fromarray(picture).save(target)
    say(f"wrote {shown} pictures (ground truth left, predictions right) to {folder}")
