"""Whether annotations were drawn on pictures of the size that they have, and that way up."""

from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.inspection.pictures import PictureFacts
from mnv2_dense.structures import ImageSize


def size_problem_of(
    facts: PictureFacts, annotated: ImageSize, name: str, what: str, *, upright: bool, level: Level
) -> Problem | None:
    """What the size of a picture says of its annotation; None if both agree and nothing is turned.

    Args:
        facts: Of the picture, which can be read.
        annotated: Size by the annotation: its record, or the mask.
        name: What the picture is called.
        what: Says the size: `the annotation file says`.
        upright: Whether data.orientation is `upright`.
        level: Of a size that does not agree.
    """
    taken, other = facts.size, facts.upright_size
    if upright:
        taken, other = other, taken
    turned = f"EXIF orientation {facts.orientation}, " if facts.orientation != 1 else ""
    place = f"{name} ({turned}stored {_text(facts.size)}, {what} {_text(annotated)})"
    if annotated == taken:
        return _note(facts, place, upright=upright)
    if annotated == other:
        wanted = "stored" if upright else "upright"
        title = f"pictures annotated as data.orientation={wanted} gives them:"
        remedy = f"; set data.orientation={wanted} if that holds for all"
        return Problem("turned_picture", level, title, place, remedy)
    swapped = annotated == ImageSize(*facts.size[::-1])
    title = "pictures of another size than their annotation:"
    remedy = "; the sides are exchanged: was the picture turned and saved?" if swapped else ""
    return Problem("wrong_size", level, title, place, remedy)


def _note(facts: PictureFacts, place: str, *, upright: bool) -> Problem | None:
    if facts.orientation == 1:
        return None
    mode = "upright" if upright else "stored"
    if facts.size == facts.upright_size:
        title = (
            "pictures with an EXIF orientation that leaves their size, so whether annotations were "
            f"drawn on them as data.orientation={mode} gives them cannot be seen:"
        )
        remedy = "; look at them with mnv2-dense show_data"
        return Problem("exif_unknown", Level.NOTE, title, place, remedy)
    title = f"pictures with an EXIF orientation, annotated as data.orientation={mode} gives them:"
    return Problem("exif_rotation", Level.NOTE, title, place)


def _text(size: ImageSize) -> str:
    return f"{size.width} x {size.height}"
