import pytest

from mnv2_dense.commands.fitting import tell_lost_loader
from mnv2_dense.errors import UserError


def test_a_lost_loader_is_a_line_with_advice() -> None:
    lost = "DataLoader worker (pid 7) is killed by signal: Killed."
    with (
        pytest.raises(UserError, match=r"pid 7.* Out of memory\? .*, and run it again"),
        tell_lost_loader("run it again"),
    ):
        raise RuntimeError(lost)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="another"), tell_lost_loader("go on"):
        raise RuntimeError("another")
