import io
from pathlib import Path

import numpy as np
import pytest
import torch

from mnv2_dense.errors import UserError
from mnv2_dense.exporting.torch_export_file import write
from mnv2_dense.prediction.engine import SegmenterArrays
from mnv2_dense.prediction.torch_export_engine import TorchExportEngine
from tests.exporting.networks import pictures, tiny


@pytest.mark.long
def test_a_segmenter_is_run_in_batches(tmp_path: Path) -> None:
    deployed, manifest = tiny("segmentation")
    path = tmp_path / "network.pt2"
    write(deployed, manifest, path)
    assert b"site-packages" not in path.read_bytes()
    assert str(Path(__file__).parents[2]).encode() not in path.read_bytes()
    engine = TorchExportEngine(path, threads=1)
    assert engine.manifest == manifest
    for count in (1, 3):
        images = pictures(manifest, count)
        found = engine.run(images.numpy())
        assert isinstance(found, SegmenterArrays)
        np.testing.assert_allclose(found.class_logits, deployed(images), atol=1e-4)


def saved(**extra: str) -> bytes:
    program = torch.export.export(torch.nn.ReLU(), (torch.zeros(2),))
    program._example_inputs = None
    for node in program.graph.nodes:
        node.meta = {"val": node.meta["val"]} if "val" in node.meta else {}
    content = io.BytesIO()
    torch.export.save(program, content, extra_files=extra)
    return content.getvalue()


def test_torn_foreign_and_hostile_files_are_refused_in_one_line(tmp_path: Path) -> None:
    cases = {
        "torn": (saved()[:500], "cannot be opened by torch.export"),
        "text": (b"no network", "cannot be opened by torch.export"),
        "foreign": (saved(), "was not exported by mnv2_dense"),
        "damaged": (saved(mnv2_dense="{}"), "what it says of itself is damaged"),
        "other": (saved(code="x"), "refused, it is no plain file of mnv2-dense export"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / f"{name}.pt2"
        path.write_bytes(content)
        with pytest.raises(UserError, match=message) as refusal:
            TorchExportEngine(path)
        assert "\n" not in str(refusal.value)
    with pytest.raises(UserError, match="no such file"):
        TorchExportEngine(tmp_path / "none.pt2")
