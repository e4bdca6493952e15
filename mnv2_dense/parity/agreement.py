"""How near our values come to a file's."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Agreement:
    """How near our values of a tensor come to the file's, over all pictures so far.

    Attributes:
        name: Of what is compared.
        difference: The largest one.
        magnitude: The file's largest value.
    """

    name: str
    difference: float = 0.0
    magnitude: float = 0.0
    _count: int = 0
    _sums: np.ndarray = field(default_factory=lambda: np.zeros(5))

    def update(self, ours: np.ndarray, theirs: np.ndarray) -> None:
        """Counts another picture; both arrays have one shape."""
        x, y = (each.astype(np.float64).ravel() for each in (ours, theirs))
        # Of numpy, which keeps what is no number.
        self.difference = float(np.maximum(self.difference, np.abs(x - y).max()))
        self.magnitude = float(np.maximum(self.magnitude, np.abs(y).max()))
        self._count += len(x)
        self._sums += [x.sum(), y.sum(), x @ x, y @ y, x @ y]

    @property
    def relative(self) -> float:
        """The largest difference as a share of the file's largest value."""
        return self.difference / self.magnitude if self.magnitude else self.difference

    @property
    def correlation(self) -> float:
        """Pearson's; 1 where neither side varies."""
        x, y, xx, yy, xy = self._sums / max(self._count, 1)
        spread = (xx - x * x) * (yy - y * y)
        if spread <= 0:
            return float(np.isclose(xx - x * x, yy - y * y))
        return float((xy - x * y) / np.sqrt(spread))

    def as_dict(self) -> dict[str, float | str]:
        """The figures, as JSON values."""
        return {
            "name": self.name,
            "difference": self.difference,
            "relative": self.relative,
            "correlation": self.correlation,
        }
