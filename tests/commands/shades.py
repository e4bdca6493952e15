"""A network that needs no weights: it sees how bright a picture is.

It stands alone, as processes that are begun anew read this file and what it imports.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from typing_extensions import override

from mnv2_dense.commands.prediction_kinds import Prediction, Recorder, Source
from mnv2_dense.commands.whole_file import save_picture
from mnv2_dense.images import read_image

RECORDS = "shades.json"
POISON = "poison"
"""Name of a picture that kills the process which sees it."""


class Shades(Recorder):
    """Takes `seconds` for each picture, and fills it with its mean."""

    records_name = RECORDS
    result_folders = ("filled",)

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def see(self, image: np.ndarray) -> np.ndarray:
        return np.full_like(image, round(image.mean()))

    @override
    def predict(self, source: Source, out: Path) -> Prediction:
        if source.path.stem == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        seen = self.see(read_image(source.path))
        save_picture(Image.fromarray(seen), out / "filled" / f"{source.name}.png")
        records: list[dict[str, Any]] = [
            {"image_id": source.number, "file_name": str(source.path), "shade": float(shade)}
            for shade in seen[0, : int(seen[0, 0, 0]) % 3, 0]
        ]
        return Prediction(f"{len(records)} shades", records)
