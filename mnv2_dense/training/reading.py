"""Numbers of a device, read without keeping it waiting."""

import torch
from torch import Tensor


class Reading:
    """Numbers on their way from the device to the CPU.

    Whoever reads them waits for what the device had to do before it had them, not for what it was
    given since: read a step later, they are there already.

    Args:
        numbers: Of any shape; what happens to the tensor afterwards changes nothing.
    """

    def __init__(self, numbers: Tensor) -> None:
        self._arrived: torch.cuda.Event | None = None
        if numbers.device.type != "cuda":
            self._numbers = numbers.detach().clone()
            return
        # Only into pinned memory a copy goes on its own.
        self._numbers = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
        self._numbers.copy_(numbers.detach(), non_blocking=True)
        self._arrived = torch.cuda.Event()
        self._arrived.record()

    def values(self) -> Tensor:
        """The numbers, on the CPU."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._numbers.cpu()
