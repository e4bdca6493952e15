"""What a cache says of itself: the file that makes a folder one, written last."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.small_files import is_file, read_start

MANIFEST = "cache.json"
TABLE = "cache_pictures.jsonl"
"""A line for each picture that is done; see `table`."""
ORIGINALS = "originals"
"""Below it stands, of the same name, the original of what was scaled: annotations and masks."""
VERSION = 1
MAX_BYTES = 10 << 20

Settings = Mapping[str, Any]
"""What a cache was prepared from, and how; JSON values."""


class Manifest(NamedTuple):
    """A finished cache.

    Attributes:
        root: Its folder.
        data: Keys of the data section that reads it, without the root.
    """

    root: Path
    data: Mapping[str, Any]

    def original(self, path: Path) -> Path:
        """Where the original of a scaled file stands, below the cache's folder.

        Args:
            path: The file's, as the file system takes it.

        Raises:
            UserError: See `name`.
        """
        return Path(ORIGINALS, self.name(path))

    def name(self, path: Path) -> Path:
        """A file's path below the cache's folder.

        Raises:
            UserError: It is somewhere else.
        """
        try:
            return path.absolute().relative_to(self.root.absolute())
        except ValueError as error:
            raise UserError(
                f"{path}: lies outside of the cache data.root={self.root}; the data of a run are "
                "all in the cache or none"
            ) from error

    def check_section(self, section: Mapping[str, Any]) -> None:
        """Refuses a data section that would misread the cache.

        Raises:
            UserError: Keys that say how files are read are not those of the cache.
        """
        read = {key: value for key, value in self.data.items() if _says_how(key)}
        if any(section.get(key) != value for key, value in read.items()):
            raise UserError(
                f"data.root={self.root}: a cache, which is read with "
                f"{' '.join(overrides(read))}; give these, too"
            )


def _says_how(key: str) -> bool:
    """Whether a key says how files are read, not where they are."""
    return not key.startswith(("train_", "val_"))


def overrides(data: Mapping[str, Any]) -> list[str]:
    """Keys of a data section as command lines change them."""
    return [f"data.{key}={_text(value)}" for key, value in data.items()]


def _text(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def find_cache(root: Path) -> Manifest | None:
    """The cache in a folder; None if there is none.

    Raises:
        UserError: It is not finished, or damaged.
    """
    file = root / MANIFEST
    if not is_file(root / TABLE):
        return None
    if not is_file(file):
        raise UserError(
            f"{root}: this cache is not finished; call mnv2-dense prepare_cache again as before"
        )
    try:
        content = json.loads(read_start(file, MAX_BYTES))
        if content["version"] == VERSION and isinstance(content["data"], dict):
            return Manifest(root, content["data"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise UserError(
        f"{file}: not of a cache that this version reads; prepare it again in a new folder"
    )
