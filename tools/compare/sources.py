"""What a result was made from: weights, data, recipe file and libraries."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mnv2_dense.builders import read_split
from mnv2_dense.builders.any_task import fingerprint_sets
from mnv2_dense.config.loader import load_config

PACKAGES = ("mnv2-dense", "torch", "torchvision")
SMP = "segmentation-models-pytorch"
"""Only its own networks depend on it."""

Sources = Mapping[str, str | None]
"""Digests and versions by name."""


def describe_sources(recipe: Path, places: Sequence[str], weights: Path | None) -> Sources:
    """What all runs of a command are made from.

    Args:
        recipe: The file of this project's recipe.
        places: Overrides that say where the data lie.
        weights: The file that all backbones begin with.

    Returns:
        SHA-256 of the weights and of the recipe file, fingerprints of both splits (see
        `builders.fingerprint`), and versions. None for weights that there are not.

    Raises:
        UserError: The data cannot be read.
    """
    config = load_config(recipe, places)
    return {
        "weights": None if weights is None else hash_file(weights),
        "recipe file": hash_file(recipe),
        "training data": fingerprint_sets(read_split(config, "train")),
        "validation data": fingerprint_sets(read_split(config, "val")),
        **{package: find_version(package) for package in PACKAGES},
    }


def add_library(sources: Sources, network: str) -> Sources:
    """The sources of one network: with the version of its own library, where it has one."""
    if not network.startswith("smp_"):
        return sources
    return {**sources, SMP: find_version(SMP)}


def hash_file(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_version(package: str) -> str | None:
    """Version of an installed package, None of one that is not."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def list_differences(stored: Mapping[str, object], wanted: Mapping[str, object]) -> list[str]:
    """What two results were not both made from: "torch 2.11.0, not 2.12.1".

    Only names that both have are compared.
    """
    return [
        f"{name} {_shorten(stored[name])}, not {_shorten(value)}"
        for name, value in wanted.items()
        if name in stored and stored[name] != value
    ]


def _shorten(value: object) -> str:
    return "none" if value is None else str(value)[:12]
