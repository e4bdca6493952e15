"""torch.export's .pt2 files run by PyTorch."""

import io
import warnings
from pathlib import Path

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from typing_extensions import override

from mnv2_dense.errors import UserError
from mnv2_dense.prediction.engine import DetectorArrays, Engine, SegmenterArrays
from mnv2_dense.prediction.manifest import KEY, read_manifest
from mnv2_dense.prediction.torch_export_archive import UnsafeProgramError, check_archive

MAX_BYTES = 2**31
"""Larger files are refused: none of these networks has a tenth of that."""


class TorchExportEngine(Engine):
    """An exported .pt2 file, checked and then run on the CPU.

    Args:
        path: The file.
        threads: Of PyTorch, in the whole process; None leaves them as they are.

    Raises:
        UserError: The file is damaged, asks for more than our own files do, or was not exported by
            mnv2_dense.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        content = _read(path)
        extra = {KEY: ""}
        try:
            checked = check_archive(content)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Torch's own, of how it stores tensors.
                program = torch.export.load(io.BytesIO(checked), extra_files=extra)
        except UnsafeProgramError as error:
            raise UserError(
                f"{path}: refused, it is no plain file of mnv2-dense export: {error}"
            ) from error
        except Exception as error:  # Damaged bytes end anywhere.
            raise UserError(
                f"{path}: cannot be opened by torch.export; it is damaged, of another kind or of "
                f"another version than PyTorch {torch.__version__}"
            ) from error
        self.manifest = read_manifest(extra[KEY] or None, path)
        self.name = f"torch.export {torch.__version__}"
        self._path = path
        self._program = program.module()

    @override
    @torch.inference_mode()
    def run(
        self, images: NDArray[np.uint8], score_threshold: float = 0.0
    ) -> DetectorArrays | SegmenterArrays:
        detects = self.manifest.task == "detection"
        arguments = [torch.from_numpy(images)]
        if detects:
            arguments.append(torch.tensor(score_threshold, dtype=torch.float32))
        try:
            found = [each.numpy() for each in self._program(*arguments)]
            return DetectorArrays(*found) if detects else SegmenterArrays(*found)
        except (RuntimeError, AssertionError, TypeError, ValueError) as error:
            size = " x ".join(map(str, images.shape))
            raise UserError(
                f"{self._path}: cannot be run on pictures {size}; it is damaged or of another size"
            ) from error


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: more than {MAX_BYTES} bytes, which no such network has")
    return path.read_bytes()


# Importing torchvision makes its NMS known to torch.
assert torchvision
