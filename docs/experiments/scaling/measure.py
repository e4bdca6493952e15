"""Images per second of training in one and in two processes of this machine.

measure.py OUT.json [STEPS] trains SSDLite 320 and DeepLabv3 513 on drawn pictures: one process
with two threads, one with a single thread, two with a single thread each. The medians of what the
runs log themselves, beginning with the second value.
"""

import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[3]
WAYS = {"1 process, 2 threads": (1, 2), "1 process, 1 thread": (1, 1), "2 processes": (2, 1)}
BATCHES = {"ssdlite_shapes": 8, "deeplabv3_shapes": 4}
SIDES = {"ssdlite_shapes": 320, "deeplabv3_shapes": 513}
EVERY = 4


def rate(name: str, devices: int, threads: int, steps: int, folder: Path) -> dict[str, float]:
    """Images per second of all processes, and the share of the time spent waiting for data."""
    side = SIDES[name]
    output = folder / f"{name}-{devices}-{threads}"
    overrides = [
        f"data.root={folder / 'shapes'}",
        f"data.batch_size={BATCHES[name]}",
        "data.num_workers=1",
        f"input.height={side}",
        f"input.width={side}",
        "backbone.width_mult=1.0",
        f"training.devices={devices}",
        f"training.threads={threads}",
        f"training.max_steps={steps}",
        f"training.log_every={EVERY}",
        f"training.output={output}",
        "training.accelerator=cpu",
        "training.validate_every=1000",
    ]
    command = [sys.executable, str(ROOT / "tools" / "train.py"), f"configs/{name}.yaml"]
    subprocess.run([*command, *overrides], cwd=ROOT, check=True, capture_output=True)
    (table,) = output.rglob("metrics.csv")
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("train/images_per_second")]
    return {
        key: statistics.median(float(row[f"train/{key}"]) for row in rows[1:])
        for key in ("images_per_second", "data_wait")
    }


def main(out: Path, steps: int = 40) -> None:
    """Measures all ways; writes what there is after each."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    with TemporaryDirectory(prefix="scaling-") as name:
        for config in BATCHES:
            found[config] = {}
            for way, (devices, threads) in WAYS.items():
                found[config][way] = rate(config, devices, threads, steps, Path(name))
                print(config, way, found[config][way], flush=True)
                out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
