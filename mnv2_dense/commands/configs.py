"""The configs that come with the package: listed, or copied to be changed."""

import textwrap
from itertools import takewhile
from pathlib import Path

from mnv2_dense.config.shipped import shipped_configs
from mnv2_dense.errors import UserError
from mnv2_dense.quoting import quote


def list_configs() -> None:
    """Prints the name of each, and what its header says first."""
    for name, path in shipped_configs().items():
        print(name)
        print(
            textwrap.fill(_first_paragraph(path), 96, initial_indent="  ", subsequent_indent="  ")
        )


def copy_config(name: str) -> None:
    """Writes a copy of one into the current folder, never over what is there.

    Raises:
        UserError: There is none of this name, or something is there already.
    """
    configs = shipped_configs()
    if name not in configs:
        raise UserError(
            f"{quote(name)}: no config that comes with it; there are {', '.join(configs)}"
        )
    try:
        with Path(name).open("xb") as file:
            file.write(configs[name].read_bytes())
    except FileExistsError:
        raise UserError(f"{name}: is there already, and stays as it is") from None
    print(f"wrote {name}")


def _first_paragraph(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line.removeprefix("# ") for line in takewhile(lambda line: line != "#", lines))
