"""A validation share drawn from one set of pictures."""

import hashlib
from collections.abc import Callable, Sequence

from mnv2_dense.errors import UserError

Choice = Callable[[Sequence[str]], Sequence[int]]
"""Takes the names of all pictures of a set, and returns the positions of those wanted."""


def draw_split(names: Sequence[str], share: float, seed: int) -> dict[str, list[int]]:
    """Positions of the pictures of `train` and `val`, each ascending.

    The pictures whose hashed names come first are the validation set: the order of the names does
    not matter, and when pictures are added, nearly all others stay where they were.

    Args:
        names: One per picture, all different.
        share: Of the validation pictures; at least one is drawn, and one left to train on.
        seed: Another seed draws others.

    Raises:
        UserError: There are fewer than two pictures.
        ValueError: A name stands twice: its picture could come into both parts.
    """
    if len(set(names)) != len(names):
        raise ValueError("names of pictures stand twice")
    if len(names) < 2:
        raise UserError(
            f"data.val_share={share:g} draws from two pictures or more, and there are {len(names)}"
        )
    drawn = min(max(round(share * len(names)), 1), len(names) - 1)
    order = sorted(range(len(names)), key=lambda position: _rank(names[position], seed))
    return {"train": sorted(order[drawn:]), "val": sorted(order[:drawn])}


def _rank(name: str, seed: int) -> bytes:
    # Names of files that are no UTF-8, and JSON's "\ud800", hold lone surrogates.
    return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogatepass")).digest()
