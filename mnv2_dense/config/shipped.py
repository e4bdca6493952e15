"""The configs that come with the package: `configs/` of a checkout, the same files of a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_FOLDER = "configs"


def shipped_configs() -> dict[str, Path]:
    """Returns the files that come with the package, by name, sorted."""
    return {path.name: path for path in sorted(_folder().glob("*.yaml"))}


def shipped_band(recipe: str) -> Path:
    """Returns where the band of scores of a shipped config is, whether it has one or not.

    Args:
        recipe: The config's `name`.
    """
    return _folder() / "bands" / f"{recipe}.json"


def _folder() -> Path:
    # `setup.py` puts the folder of a checkout into a wheel, inside of the package.
    inside = _PACKAGE / _FOLDER
    return inside if inside.is_dir() else _PACKAGE.parent / _FOLDER


def find_config(text: str) -> Path:
    """Returns the path that was given, or the shipped config of that name where nothing is there.

    Args:
        text: A path. `NAME.yaml` and `configs/NAME.yaml` name a shipped config, too.
    """
    path = Path(text)
    shipped = shipped_configs().get(path.name)
    if shipped is None or path.parent not in (Path(), Path(_FOLDER)) or path.exists():
        return path
    return shipped
