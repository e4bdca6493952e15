"""Spoilt config files, overrides and stored configs; see README.md.

PYTHONPATH=. python docs/experiments/fuzz/configs.py --cases 40000 --seed 0
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from mutations import NUMBERS, TEXTS, mutate_bytes, mutate_values, odd_value, replace_number
from trials import Case, try_cases

from mnv2_dense.config.loader import load_config, parse_config, to_yaml
from mnv2_dense.config.schema import CONFIGS

CONFIG_FILES = sorted(Path("configs").glob("*.yaml"))


SMALL = b"""task: detection  # a comment
name: tiny
data: {root: "a b", batch_size: 4, classes: [cat, 'dog']}
input:
  height: 64
  mean: [0.5, 5e-1, .5]
optimizer:
  learning_rate: 1e-3
training:
  epochs: 3
  precision: '16'
"""


def read_back(path: Path, overrides: list[str]) -> None:
    """Reads a config, and what is written of it: both must be the same."""
    written = to_yaml(load_config(path, overrides))
    path.write_text(written, encoding="utf-8")
    if to_yaml(load_config(path)) != written:
        raise ValueError("a config that is not the one that was written")


class Maker:
    """Makes cases: changed bytes of the files in configs/, changed values, odd overrides."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "config.yaml"
        self._texts = [
            *(file.read_bytes() for file in CONFIG_FILES),
            *[SMALL] * 5 * len(CONFIG_FILES),
        ]
        self._values = [yaml.safe_load(text) for text in self._texts]
        full = [model().model_dump(mode="json") for model in CONFIGS.values()]
        self._keys = [f"{name}.{key}" for each in full for name, key in _keys(each)]
        self._full = full

    def __call__(self, draw: random.Random) -> Case:
        """The next case."""
        kind = draw.randrange(10)
        if kind < 4:
            mapping = mutate_values(draw.choice((*self._full, *self._values)), draw)
            return Case(
                repr(mapping)[:100_000].encode(errors="replace"), lambda: parse_config(mapping)
            )
        overrides = [self._override(draw) for _ in range(draw.choice((0, 0, 1, 3)))]
        if kind == 4:
            text = _write(mutate_values(draw.choice(self._values), draw), draw)
        else:
            text = mutate_bytes(draw.choice(self._texts), self._texts, draw)
        return self._case(text, overrides)

    def _case(self, text: bytes, overrides: list[str]) -> Case:
        self._file.write_bytes(text)
        shown = text + repr(overrides).encode(errors="replace")
        return Case(shown, lambda: read_back(self._file, overrides))

    def _override(self, draw: random.Random) -> str:
        key = draw.choice(self._keys)
        if draw.random() < 0.2:
            key = mutate_bytes(key.encode(), [b"."], draw).decode(errors="replace")
        odd = draw.choice((*NUMBERS, *TEXTS, yaml.safe_dump(odd_value(draw, 2), width=9**9)))
        return f"{key}={replace_number(odd, draw)}"


def _keys(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, key) for name, each in values.items() if isinstance(each, dict) for key in each]


def _write(values: Any, draw: random.Random) -> bytes:
    text = yaml.safe_dump(values, default_flow_style=draw.choice((None, True, False)))
    return replace_number(text, draw).encode(errors="surrogatepass")


def main() -> int:
    """Runs the cases; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("fuzz_failures"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make = Maker(Path(folder))
        return not try_cases("config", make, options.cases, options.seed, options.output)


if __name__ == "__main__":
    sys.exit(main())
