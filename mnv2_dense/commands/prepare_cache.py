"""Writes a resized copy of a data set, and says how to train on it."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from mnv2_dense.builders.caches import Cache, Wanted, default_sizing, prepare_cache
from mnv2_dense.caching.manifest import overrides as overrides_of
from mnv2_dense.caching.sizing import Sizing
from mnv2_dense.caching.writing import KEEP
from mnv2_dense.commands.checks import check_outside
from mnv2_dense.commands.outputs import check_output
from mnv2_dense.commands.session import ensure_data, say
from mnv2_dense.commands.stopping import ended_by_sigterm
from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import Config
from mnv2_dense.errors import UserError
from mnv2_dense.ops.texts import list_first


def prepare(
    source: Path,
    overrides: Sequence[str],
    *,
    out: Path,
    shorter_side: int | None = None,
    longer_side: int | None = None,
    full_size: bool = False,
    quality: int = 90,
    splits: Sequence[str] = ("train", "val"),
    workers: int = 1,
) -> None:
    """Writes the copy, or goes on with it, and prints the command line that trains on it.

    Args:
        source: A config.
        overrides: Changes to it, of the form `key.path=value`.
        out: Folder of the copy, outside of the data.
        shorter_side: Most pixels of a picture's shorter side.
        longer_side: Or of its longer side. Without either, what the config's network sees.
        full_size: Or resize none.
        quality: Of the JPEGs, 1 to 100.
        splits: Which splits are copied.
        workers: Threads.

    Raises:
        UserError: The config or the data cannot be used, or the folder holds something else.
    """
    config = load_config(source, overrides)
    check_outside(out, config)
    check_output(out)
    ensure_data(config)
    sizing = _sizing(config, shorter_side, longer_side, full_size)
    say(f"pictures to {out}: {sizing}, JPEG quality {quality}")
    wanted = Wanted(sizing, quality, tuple(sorted(set(splits))), workers)
    with ended_by_sigterm():
        cache = prepare_cache(config, out, wanted)
    _report(cache, out, quality)
    say(f"\nto train on it:\n\n{_command(source, overrides, out, cache.data)}")


def _sizing(config: Config, shorter: int | None, longer: int | None, full: bool) -> Sizing:
    if full:
        return Sizing("full")
    if longer is not None:
        return Sizing("longer", longer)
    return default_sizing(config) if shorter is None else Sizing("shorter", shorter)


def _report(cache: Cache, out: Path, quality: int) -> None:
    entries, bad, before = cache.pictures
    smaller = [entry for entry in entries.values() if entry.resized]
    say(f"{len(entries)} pictures in {out}, {before} of them from an earlier call")
    if smaller:
        shares = sum(entry.cached.height / entry.size.height for entry in smaller)
        say(f"{len(smaller)} are smaller: their sides are {shares / len(smaller):.2f} of before")
    done = "copied byte for byte" if quality == KEEP else "compressed anew where that saves bytes"
    say(f"{len(entries) - len(smaller)} were small enough: {done}")
    if bad:
        lines = f"{len(bad)} pictures cannot be used and are left out: {list_first(bad)}"
        say(lines.encode(errors="backslashreplace").decode())
    say(
        f"pictures: {_megabytes(cache.bytes_before)} before, {_megabytes(cache.bytes_after)} now; "
        f"{_megabytes(cache.bytes_in_all)} with all that belongs to them"
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _command(source: Path, given: Sequence[str], out: Path, data: Mapping[str, object]) -> str:
    """The command line that trains on the copy, without what the config says anyway."""
    settled = {"data.root", "data.generate", *(f"data.{key}" for key in data)}
    kept = [text for text in given if text.partition("=")[0].strip() not in settled]
    changes = overrides_of({"root": str(out), **data})
    wanted = load_config(source, [*kept, *changes])
    for change in changes[1:]:
        fewer = [text for text in changes if text is not change]
        changes = fewer if _reads_as(source, [*kept, *fewer], wanted) else changes
    return shlex.join(["mnv2-dense", "train", str(source), *kept, *changes])


def _reads_as(source: Path, overrides: Sequence[str], wanted: Config) -> bool:
    try:
        return load_config(source, overrides) == wanted
    except UserError:
        return False
