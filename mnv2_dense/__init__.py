"""Dense prediction on mobile-class networks: SSDLite and DeepLabv3 on MobileNetV2.

`load(PATH).predict(SOURCE)` shows pictures to a trained network; see docs/prediction.md.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnv2_dense.prediction.predictor import Predictor

# albumentations asks the network for a newer version at import unless this is set; ONNX Runtime
# reports its use over it, and keeps a file for that among the temporary ones.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"


def load(
    path: str | Path,
    engine: str | None = None,
    *,
    threads: int | None = None,
    device: str | None = None,
) -> "Predictor":
    """Opens a checkpoint or an exported model; see `mnv2_dense.exporting.loading.load`."""
    # Only here: `import mnv2_dense` must not wait for what a user may not need.
    from mnv2_dense.exporting import loading

    return loading.load(path, engine, threads=threads, device=device)
