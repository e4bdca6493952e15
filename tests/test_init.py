import os
import subprocess
import sys
from pathlib import Path

import pytest

SILENT = ("NO_ALBUMENTATIONS_UPDATE", "ORT_DISABLE_TELEMETRY")


def test_libraries_that_report_over_the_network_are_told_not_to(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in SILENT}
    code = "import mnv2_dense, os, onnxruntime; print(*(os.environ[name] for name in {}))"
    run = subprocess.run(
        [sys.executable, "-c", code.format(SILENT)],
        env={**environment, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["1", "1"]
    assert not list(tmp_path.iterdir())  # ONNX Runtime would keep a name of this machine there.


def test_a_users_own_choice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    code = "import mnv2_dense, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "0\n"
