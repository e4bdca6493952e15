"""`tools/train.py` with a fault in one of its processes: FAULT=KIND,RANK,METHOD,BATCH.

As a script too, for Lightning starts the other processes of a run with the same script.
"""

import os
import signal
import sys
from typing import Any

from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.errors import UserError
from tests.commands.tiny import load_tool


def fail(kind: str) -> None:
    """Does what the kind says."""
    match kind:
        case "mistake":
            raise UserError("picture.jpg: the image cannot be read")
        case "bug":
            raise KeyError("a bug of ours")
        case _:
            os.kill(os.getpid(), signal.Signals[kind])


def install(kind: str, rank: str, method: str, batch: str) -> None:
    """Puts the fault before a batch of one process, or of `all`."""
    original = getattr(DetectionTask, method)

    def faulty(self: DetectionTask, content: Any, index: int) -> Any:
        if rank in (str(self.global_rank), "all") and index == int(batch):
            fail(kind)
        return original(self, content, index)

    setattr(DetectionTask, method, faulty)


if __name__ == "__main__":
    install(*os.environ["FAULT"].split(","))
    sys.exit(load_tool("train").main())
