import json
from pathlib import Path
from typing import Any

import pytest

from mnv2_dense.shapes.dataset import generate
from tools.compare import detection, segmentation

OWN = {segmentation: "light", detection: "ssdlite"}
PEERS = {
    segmentation: "torchvision_deeplabv3_mobilenet_v3_large",
    detection: "torchvision_ssdlite320_mobilenet_v3_large",
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes") / "shapes"
    generate(root, train_images=6, val_images=2, size=64)
    return root


@pytest.mark.long
@pytest.mark.parametrize("command", [segmentation, detection], ids=["segmentation", "detection"])
def test_two_steps_of_everything(command: Any, scenes: Path, tmp_path: Path) -> None:
    arguments = [
        *(f"--data=shapes={scenes}", "--seeds", "0", "--steps", "2", "--batch", "2"),
        *("--size", "64", "--out", str(tmp_path)),
    ]
    assert command.main([*arguments, "--networks", OWN[command], PEERS[command]]) == 0
    product = [*arguments, "--recipe", "product", "--networks", PEERS[command]]
    assert command.main(product) == 0
    assert command.main(product) == 0
    rows = json.loads((tmp_path / "results.json").read_text())
    assert {(row["network"], row["recipe"]) for row in rows} == {
        (OWN[command], "product"),
        (PEERS[command], "reference"),
        (PEERS[command], "product"),
    }
    assert all(row["parameters"] > 0 and row["multiply_adds"] > 0 for row in rows)
    assert all(0 <= row["mean"] < 1 for row in rows)
