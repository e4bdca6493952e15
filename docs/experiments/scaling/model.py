"""Images per second of 1 to 64 GPUs on paper, out of a step, a gradient and a network.

model.py prints the tables of docs/scaling.md. A synchronous step takes what the slowest of its
resources takes: the GPU's own step with the exchange that does not hide behind it, or the loaders
of a machine. What was measured and what is assumed stands beside each number.
"""

import math
from dataclasses import dataclass

GRADIENT = 4.337e6 * 4
"""Bytes of SSDLite's gradient in float32: 17 MB."""
NORMS = 76
"""Batch norms of SSDLite on MobileNetV2; SyncBN exchanges once forwards and once back in each."""
GPUS_PER_MACHINE = 8
ORIGINALS, CACHE = 262, 568
"""Samples per second and core of SSDLite's recipe, colours left to the device, as measured on an
Intel Xeon: docs/experiments/speed/cache_detection.json."""


@dataclass(frozen=True)
class Hardware:
    """Assumptions of a cluster.

    Attributes:
        name: Of the row.
        within: Bytes per second and GPU inside a machine.
        between: Bytes per second of a machine's network.
        latency_within: Seconds of a message of a few bytes inside a machine.
        latency_between: The same between machines.
        cores: Of a machine, for its loaders.
    """

    name: str
    within: float
    between: float
    latency_within: float
    latency_between: float
    cores: int


FAST = Hardware("NVLink, 100 Gbit/s", 200e9, 12.5e9, 4e-6, 10e-6, 96)
SLOW = Hardware("PCIe, 10 Gbit/s", 12e9, 1.25e9, 8e-6, 30e-6, 64)


def exchange(gpus: int, hardware: Hardware, size: float) -> float:
    """Seconds of an all-reduce: two passes of all but one part, and two trees of small messages."""
    if gpus == 1:
        return 0.0
    machines = -(-gpus // GPUS_PER_MACHINE)
    one = hardware.within if machines == 1 else min(hardware.within, hardware.between)
    latency = hardware.latency_within if machines == 1 else hardware.latency_between
    return 2 * (gpus - 1) / gpus * size / one + 2 * math.log2(gpus) * latency


def step(
    gpus: int, hardware: Hardware, compute: float, *, hidden: float, sync_norms: bool
) -> float:
    """Seconds of a step in all GPUs.

    Args:
        gpus: Processes of the run.
        hardware: What they are connected by.
        compute: Seconds of the step in one GPU.
        hidden: Share of the backward pass (two thirds of the step) that the exchange overlaps.
        sync_norms: Whether batch norms are computed over all processes.
    """
    gradient = exchange(gpus, hardware, GRADIENT)
    visible = max(0.0, gradient - hidden * compute * 2 / 3)
    norms = 2 * NORMS * exchange(gpus, hardware, 4096) if sync_norms else 0.0
    return compute + visible + norms


def main() -> None:
    """Prints a row per cluster, count of GPUs and way."""
    batch = 32
    columns = ("connection", "GPUs", "step", "exchange after it", "within it", "and SyncBN")
    print(f"| {' | '.join([*columns, 'cores, originals', 'cores, cache'])} |")
    print("|---" * (len(columns) + 2) + "|")
    for hardware in (FAST, SLOW):
        for gpus in (1, 8, 64):
            for compute in (0.010, 0.030):
                seconds = [
                    step(gpus, hardware, compute, hidden=hidden, sync_norms=norms)
                    for hidden, norms in ((0.0, False), (0.9, False), (0.9, True))
                ]
                rates = [gpus * batch / each for each in seconds]
                share = [compute / each for each in seconds]
                cells = [f"{r:,.0f} ({s:.0%})" for r, s in zip(rates, share, strict=True)]
                machines = max(1, gpus // GPUS_PER_MACHINE)
                cores = [str(math.ceil(rates[1] / machines / each)) for each in (ORIGINALS, CACHE)]
                step_text = f"{compute * 1000:.0f} ms"
                row = [hardware.name, str(gpus), step_text, *cells, *cores]
                print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
