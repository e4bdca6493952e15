"""What would keep a GPU waiting, found on a CPU."""

import traceback
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Waits(TorchDispatchMode):
    """Remembers what would keep a GPU waiting: values that are read, and shapes that hang on them.

    On the CPU the same operations are called, and cost nothing.
    """

    WAITING = (
        *("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select"),
        *("aten::lift_fresh", "aten::unique_dim", "aten::_unique2", "aten::equal"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        indices = args[1] if func.overloadpacket is torch.ops.aten.index else ()
        masked = any(each is not None and each.dtype == torch.bool for each in indices)
        if masked or func.name().partition(".")[0] in self.WAITING:
            places = traceback.extract_stack()[:-1]
            self.found.append(
                f"{func.name()} at {[f'{p.filename}:{p.lineno}' for p in places[-6:]]}"
            )
        return func(*args, **(kwargs or {}))
