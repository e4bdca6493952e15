"""What the processor is, and can do that PyTorch does not ask for."""

import platform
import re
from pathlib import Path

_UNITS = frozenset(("avx512_bf16", "amx_bf16", "bf16"))
"""Linux's names of the instructions: Intel's and AMD's, Intel's matrix units, ARM's."""


def has_bf16(information: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor computes in bf16 itself; PyTorch else does so many times slower.

    Args:
        information: Where Linux lists its instructions; without it the answer is no.
    """
    if not information.is_file():
        return False
    text = information.read_text(encoding="utf-8", errors="replace")
    listed = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return listed is not None and not _UNITS.isdisjoint(listed.group(1).split())


def processor_name(information: Path = Path("/proc/cpuinfo")) -> str:
    """What the processor is called.

    Args:
        information: Where Linux says it; without it the system is asked.
    """
    if information.is_file():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
