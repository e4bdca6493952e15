"""Data sets as the commands on data take them: a config, or just the folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from mnv2_dense.config.loader import load_config, parse_config
from mnv2_dense.config.schema import CONFIGS, Config
from mnv2_dense.formats.recognition import recognise


def open_source(source: Path, overrides: Sequence[str]) -> tuple[Config, dict[str, object] | None]:
    """The config, and the data section that was recognised if the source is a folder.

    Raises:
        UserError: The config is not allowed, or the folder holds no data set of a known format.
    """
    if not source.is_dir():
        return load_config(source, overrides), None
    tasks = [text.partition("=")[2] for text in overrides if text.startswith("task=")]
    found = recognise(source, tasks[-1] if tasks and tasks[-1] in CONFIGS else None)
    return parse_config(found, overrides, name=str(source)), dict(found["data"])


def data_section(data: Mapping[str, object]) -> str:
    """The data section of a config as YAML, ready to be pasted."""
    return yaml.safe_dump({"data": dict(data)}, sort_keys=False, allow_unicode=True).rstrip()
