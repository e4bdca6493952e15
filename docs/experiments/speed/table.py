"""One table of all ratios that `tools/benchmark.py` wrote, beside their targets.

table.py FILE.json ... prints Markdown: what was asked for, what was measured, and the times of
both calls in the same interleaved run.
"""

import json
import sys
from pathlib import Path
from typing import Any

HEADER = "| what | target | measured | of min | times, ms | |\n|---|---|---|---|---|---|"
WORDS = {True: "reached", False: "**missed**", None: ""}


def times(section: dict[str, Any], ratio: dict[str, Any]) -> str:
    """Medians of the two calls of a ratio; nothing where it is none of two."""
    found = [section["times"][name]["median_ms"] for name in ratio["calls"]]
    return " / ".join(f"{value:,.1f}" if value < 1e4 else f"{value:,.0f}" for value in found)


def row(section: dict[str, Any], ratio: dict[str, Any]) -> str:
    """A line of the table."""
    target = "" if ratio["target"] is None else f"{ratio['direction']} {ratio['target']:g}"
    cells = [ratio["name"], target, f"{ratio['value']:.3f}", f"{ratio['best']:.3f}"]
    return f"| {' | '.join([*cells, times(section, ratio), WORDS[ratio['met']]])} |"


def main(files: list[Path]) -> None:
    """Prints the table, a title per section."""
    for path in files:
        content = json.loads(path.read_text(encoding="utf-8"))
        machine = content["machine"]
        print(
            f"\n### {path.stem}: {machine['processor']}, {machine['cores']} cores, "
            f"{content['threads']} threads, torch {machine['torch']}\n"
        )
        for section in content["sections"]:
            if section["ratios"]:
                print(f"{section['title']}\n\n{HEADER}")
                print("\n".join(row(section, ratio) for ratio in section["ratios"]), end="\n\n")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
