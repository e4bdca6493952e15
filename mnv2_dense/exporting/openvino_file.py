"""Deployed networks as OpenVINO files: pictures in, final boxes or label maps out."""

import tempfile
from pathlib import Path
from typing import Any

from mnv2_dense.exporting import onnx_file
from mnv2_dense.prediction.manifest import KEY, Manifest
from mnv2_dense.prediction.network import Deployed
from mnv2_dense.prediction.openvino_engine import import_openvino
from mnv2_dense.prediction.openvino_graph import adapt
from mnv2_dense.training.durable import replace_durably


def write(deployed: Deployed, manifest: Manifest, path: Path) -> None:
    """Writes the network, its decoding and its manifest, as float32.

    Args:
        deployed: The network.
        manifest: Says which of batch, height and width are fixed.
        path: Where it goes, `.xml`; the weights go beside it, `.bin`.

    Raises:
        UserError: OpenVINO is not installed.
        OSError: It cannot be written.
    """
    openvino = import_openvino(path)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "network.onnx"
        onnx_file.write(deployed, manifest, source)
        model = openvino.Core().read_model(source)
        adapt(openvino, model, manifest)
        save(model, manifest, path)


def save(model: Any, manifest: Manifest, path: Path) -> None:
    """Writes an OpenVINO model with its manifest; see `write`."""
    openvino = import_openvino(path)
    model.set_rt_info(manifest.to_json(), [KEY])
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "network.xml"
        openvino.save_model(model, whole, compress_to_fp16=False)
        # The weights first: a file that is there is complete.
        for suffix in (".bin", ".xml"):
            content = whole.with_suffix(suffix).read_bytes()
            replace_durably(path.with_suffix(suffix), lambda file, it=content: file.write(it))
