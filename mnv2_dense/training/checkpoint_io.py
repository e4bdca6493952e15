"""Writing a checkpoint so that a crash or a full disk never costs the one before."""

import os
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import TorchCheckpointIO

from mnv2_dense.ops.checkpoint_file import check_seal, write_sealed
from mnv2_dense.training.durable import replace_durably
from mnv2_dense.training.runs import BROKEN, LAST, PREVIOUS

CARD = "mnv2_dense"
"""Key of a checkpoint under which it says what it is: version, config, classes."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, sealed, and put in place when they are on the disk.

    Differs from Lightning, which writes to the system's temporary folder and moves: across
    file systems that is a copy, and a copy can be cut short. The last checkpoint but one is
    kept as `previous.ckpt`.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Writes beside `path`, flushes to the disk, and renames over `path`.

        Raises:
            OSError: The disk is full or not writable; it names `path`, and a previous one is
                still there, whole.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_durably(
            target,
            lambda file: write_sealed(checkpoint, file),
            before=lambda: _keep_previous(target),
        )


def _keep_previous(target: Path) -> None:
    """Keeps `last.ckpt`, but one that is not whole, or not ours, in the place of a good one."""
    if target.name != LAST or not target.exists():
        return
    kept = target.with_name(PREVIOUS if check_seal(target) else BROKEN)
    link = kept.with_name(f".{kept.name}.part")
    link.unlink(missing_ok=True)
    try:
        # A second name, so that `last.ckpt` is there all the time.
        os.link(target, link)
        link.replace(kept)
    except OSError:  # The disk has no links.
        target.replace(kept)
