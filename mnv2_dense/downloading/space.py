"""Room on the disk, asked for before it is needed."""

import shutil
from pathlib import Path

from tqdm import tqdm

from mnv2_dense.errors import UserError


def require_space(folder: Path, need: int, purpose: str) -> None:
    """Refuses what would fill the disk.

    Args:
        folder: An existing folder on the disk.
        need: Bytes that will be written.
        purpose: What they are for, in words.

    Raises:
        UserError: Fewer bytes are free.
    """
    have = shutil.disk_usage(folder).free
    if have < need:
        raise UserError(
            f"{folder}: too little disk space for {purpose}: {show_bytes(need)} needed, "
            f"{show_bytes(have)} free; make room, or choose a --root on another disk"
        )


def show_bytes(count: int) -> str:
    """A number of bytes for people, in decimal units: 19.3 GB."""
    number = tqdm.format_sizeof(count)
    unit = number[-1] if number[-1].isalpha() else ""
    return f"{number.removesuffix(unit)} {unit}B"
