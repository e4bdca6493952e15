import os
import signal
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mnv2_dense.commands.stopping import ended_by_sigterm


def wait_in(folder: Path) -> None:
    with ended_by_sigterm(), TemporaryDirectory(dir=folder):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)


def test_what_is_unfinished_is_removed_and_the_code_says_why(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        wait_in(tmp_path)
    assert stopped.value.code == 143
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) is before
