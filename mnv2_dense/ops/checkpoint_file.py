"""Checkpoint files: sealed by a checksum, and read without running anything that is in them."""

import hashlib
import io
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from typing_extensions import TypeIs

from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_archive import (
    MAX_PICKLE,
    RECORD,
    BadArchiveError,
    read_directory,
    read_records,
)
from mnv2_dense.ops.checkpoint_content import ContentError, check_content
from mnv2_dense.ops.checkpoint_pickle import NotPlainError, check_pickle

FOREIGN = (".tflite", ".pb", ".tar", ".gz", ".tgz", ".zip")
"""How the names of TensorFlow's files and releases end."""
SEAL = b"mnv2_dense sha256="
_LENGTH_FIELD = 2
"""Bytes at the end of an archive without a comment that say how long the comment is."""
_CHUNK = 2**20
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of what torch wrote before its version 1.6: a number as a pickle of its own."""
_LEGACY_VALUES = 3
"""Which of the five pickles of such a file has the values, counted from 0."""
_LEGACY_PICKLES = 5
_STORAGE_HEAD = 8
"""Bytes before the numbers of each storage of such a file: how many they are."""
_TYPES: dict[str, type] = {
    "state_dict": dict,
    "current_model_state": dict,
    "averaging_state": dict,
    "epoch": int,
    "global_step": int,
    "optimizer_states": list,
    "lr_schedulers": list,
    "callbacks": dict,
    "loops": dict,
    "pytorch-lightning_version": str,
}
"""What Lightning writes under its names."""


def write_sealed(content: Mapping[str, Any], file: BinaryIO) -> None:
    """Writes a checkpoint as torch.save does, with its SHA-256 as the archive's end comment.

    The hash is that of the archive as torch.save wrote it. The last two bytes of that, the length
    of the comment, are zero; these, and the comment behind them, are all that changes afterwards.

    Args:
        content: What the checkpoint holds.
        file: An empty file, open for writing and reading ("w+b"). It is flushed, not synced.
    """
    torch.save(content, file)
    file.flush()
    size = file.seek(0, os.SEEK_END)
    comment = _seal(file, size)
    file.seek(size - _LENGTH_FIELD)
    file.write(len(comment).to_bytes(_LENGTH_FIELD, "little") + comment)
    file.flush()


def check_seal(path: Path) -> bool | None:
    """Whether a checkpoint is the one that was written; the memory needed is constant.

    Returns:
        True: sealed and intact. False: sealed but changed, cut short, or no whole archive.
        None: a whole archive without a seal, of an older version or another program.

    Raises:
        OSError: The file cannot be opened or read.
    """
    with path.open("rb") as file:
        try:
            comment = read_directory(file).comment
        except BadArchiveError:
            return False
        return _matches(file, comment) if comment else None


def read_seal(path: Path) -> str | None:
    """The checksum that a checkpoint bears, which tells it from others; not compared with it.

    Returns:
        SHA-256 in hexadecimal digits, or None of a file without one.

    Raises:
        OSError: The file cannot be opened or read.
    """
    with path.open("rb") as file:
        try:
            comment = read_directory(file).comment
        except BadArchiveError:
            return None
    return comment[len(SEAL) :].decode("ascii", "replace") if comment.startswith(SEAL) else None


def _matches(file: BinaryIO, comment: bytes) -> bool:
    """Whether an archive's comment is the seal of what is before it."""
    return comment == _seal(file, os.fstat(file.fileno()).st_size - len(comment))


def _seal(file: BinaryIO, size: int) -> bytes:
    """The comment for an archive of `size` bytes without one."""
    digest, left = hashlib.sha256(), size - _LENGTH_FIELD
    file.seek(0)
    while left > 0 and (chunk := file.read(min(left, _CHUNK))):
        digest.update(chunk)
        left -= len(chunk)
    digest.update(bytes(_LENGTH_FIELD))
    return SEAL + digest.hexdigest().encode()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The dictionary in a checkpoint file, on the CPU; code in the file is never run.

    What the file asks for is checked before torch reads it: neither time nor memory grow beyond
    what its size gives reason for.

    Raises:
        UserError: The file is missing, damaged, is no checkpoint, or holds more than plain data.
    """
    if not path.is_file():
        there = "a folder, pipe or device, no checkpoint file"
        raise UserError(f"{path}: {there if path.exists() else 'no such checkpoint file'}")
    hint = _import_hint(path)
    try:
        _check_file(path)
        with warnings.catch_warnings():
            # torch warns of formats that it then refuses; the refusal is reported below.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
        check_content(content)
    except UserError:
        raise
    except (NotPlainError, ContentError) as error:
        raise UserError(
            f"{path}: refused, it is no plain checkpoint: it has {error} (only tensors and simple "
            f"values are read, never code){hint}"
        ) from error
    except BadArchiveError as error:
        raise UserError(f"{path}: cannot be read as a checkpoint, {error}{hint}") from error
    except Exception as error:  # damaged bytes end anywhere: struct.error, AssertionError, ...
        raise UserError(
            f"{path}: cannot be read as a checkpoint, it is truncated or of another format{hint}"
        ) from error
    return _check_types(content, path)


def _check_file(path: Path) -> None:
    """Refuses what torch should not be given."""
    with path.open("rb") as file:
        head = file.read(len(_LEGACY))
        file.seek(0)
        if head == _LEGACY:
            _check_legacy(file)
        elif head.startswith(RECORD):
            comment = read_directory(file).comment
            if comment and not _matches(file, comment):
                raise UserError(f"{path}: damaged, its checksum does not match")
            pickled, sizes = read_records(file)
            check_pickle(io.BytesIO(pickled), sizes)
        elif head.startswith(b"\x80"):
            raise NotPlainError("a pickle of its own")
        else:
            raise BadArchiveError("it is truncated or of another format")


def _check_legacy(file: BinaryIO) -> None:
    """Refuses a file of before torch 1.6 that claims more than it holds."""
    head = io.BytesIO(file.read(MAX_PICKLE))
    found = [check_pickle(head) for _ in range(_LEGACY_PICKLES)]
    claimed = sum(_STORAGE_HEAD + storage.size for storage in found[_LEGACY_VALUES].values())
    if claimed > os.fstat(file.fileno()).st_size - head.tell():
        raise NotPlainError("tensors that claim another size than is in the file")


def _check_types(content: object, path: Path) -> dict[str, Any]:
    """The content, if it is a dictionary whose entries are of the types that they should be."""
    if not (_is_named(content) and _is_named(content.get("state_dict", {}))):
        raise UserError(f"{path}: holds a {type(content).__name__}, not a dictionary of weights")
    for name, expected in _TYPES.items():
        value = content.get(name)
        if value is not None and not isinstance(value, expected):
            raise UserError(
                f"{path}: refused, {name} is of type {type(value).__name__}, "
                f"not {expected.__name__}"
            )
    return content


def _import_hint(path: Path) -> str:
    """What to do with a file that is of another program by its name, for the end of a message."""
    return (
        "; import it first with mnv2-dense import_weights" if path.suffix.lower() in FOREIGN else ""
    )


def _is_named(content: object) -> TypeIs[dict[str, Any]]:
    return isinstance(content, dict) and all(isinstance(name, str) for name in content)
