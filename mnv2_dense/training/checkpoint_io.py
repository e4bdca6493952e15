"""Writing a checkpoint so that a crash or a full disk never costs the one before."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

CARD = "mnv2_dense"
"""Key of a checkpoint under which it says what it is: version, config, classes."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, put in place in one step after they are on the disk.

    Differs from Lightning, which writes to the system's temporary folder and moves: across
    file systems that is a copy, and a copy can be cut short.
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
        part = target.with_name(f".{target.name}.part")
        try:
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
            _sync_folder(target.parent)
        except BaseException as error:
            part.unlink(missing_ok=True)
            # On a full disk torch may raise an error of its own while it closes its archive.
            cause = error if isinstance(error, OSError) else error.__context__
            if isinstance(cause, OSError):
                raise OSError(cause.errno, cause.strerror, str(target)) from error
            raise


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, where the system can open a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
