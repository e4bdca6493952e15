"""A config as the program understands it."""

from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.config.loader import CONFIG_SUFFIXES, load_any_config, to_yaml


def print_config(source: Path, overrides: Sequence[str]) -> None:
    """Shows every key of a config, or of the one in a checkpoint, for which torch is imported.

    Raises:
        UserError: The file, or an override, is not as it must be.
    """
    if source.suffix in CONFIG_SUFFIXES:
        config = load_any_config(source, overrides)
    else:
        from mnv2_dense.builders.opening import stored_any_config

        config = stored_any_config(source, overrides)
    print(to_yaml(config), end="")
