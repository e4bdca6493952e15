"""The released SSDLite graph, imported, against what TensorFlow.js computed of the same values.

docs/experiments/tfjs_parity says how its outputs were recorded.
"""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from mnv2_dense.builders import build_task
from mnv2_dense.builders.detection import input_size
from mnv2_dense.config.loader import parse_config
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.detection.coding import decode_boxes
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.detection.transforms import EvalTransform
from mnv2_dense.importing.found import Imported
from mnv2_dense.importing.graphdef import graph_from_message
from mnv2_dense.importing.recognition import recognise
from mnv2_dense.ops.boxes import center_to_corner

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "importing" / "tfjs_outputs.json"
LIMITS = {"anchors": 1e-6}
LIMIT = 2e-5
"""Of a tensor's largest value; float32 rounds in another order there."""
Y_FIRST = [1, 0, 3, 2]
PICTURES = ("square", "oblong")


class Release(NamedTuple):
    """The graph's import, our task of it, what was recorded, and the pictures."""

    imported: Imported
    config: DetectionConfig
    task: DetectionTask
    recorded: dict[str, Any]
    pictures: dict[str, np.ndarray]


def load(name: str) -> ModuleType:
    """A script of the experiment, which is no package."""
    path = ROOT / "docs" / "experiments" / "tfjs_parity" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"tfjs_parity_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def release(shared: Path) -> Release:
    fill, recorded = load("fill"), json.loads(RECORDED.read_text())
    path = shared / "data" / "weights" / "ssdlite_mobilenet_v2_coco_tfjs_model.json"
    model = json.loads(path.read_text())
    values = fill.make_values(model["weightsManifest"], recorded["seed"])
    floats = [value for value in values.values() if value.dtype == np.float32]
    total = sum(float(np.abs(value).sum(dtype=np.float64)) for value in floats)
    assert total == pytest.approx(recorded["checks"]["sum_abs_values"], rel=1e-6)
    pictures = fill.make_pictures(recorded["seed"])
    sums = {name: int(picture.sum()) for name, picture in pictures.items()}
    assert sums == recorded["checks"]["sum_pictures"]
    message = load("make_graphdef").make_graphdef(model, values)
    imported = recognise(graph_from_message(message, str(path)))
    config = parse_config({"task": "detection", **imported.settings})
    assert isinstance(config, DetectionConfig)
    task = build_task(config, imported.categories)
    assert isinstance(task, DetectionTask)
    task.network.load_state_dict(imported.state, strict=True)
    return Release(imported, config, task.eval(), recorded, pictures)


def run(release: Release, picture: np.ndarray) -> dict[str, np.ndarray]:
    """What the ordinary way to a prediction computes, in TensorFlow's conventions."""
    transform = EvalTransform(input_size(release.config), release.config.input.resize)
    resized, _, _ = transform(picture, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    images = torch.from_numpy(resized).permute(2, 0, 1).unsqueeze(0)
    with torch.inference_mode():
        outputs = release.task(images)
        anchors = outputs.anchors[None]
        decoded = center_to_corner(decode_boxes(outputs.box_deltas, anchors))
        found = {
            "preprocessed": release.task.normalize(images).permute(0, 2, 3, 1),
            "anchors": center_to_corner(anchors)[..., Y_FIRST],
            "box_deltas": outputs.box_deltas[..., Y_FIRST],
            "class_logits": outputs.class_logits,
            "decoded_boxes": decoded[:, :, None, Y_FIRST],
        }
    return {name: tensor.numpy() for name, tensor in found.items()}


@pytest.mark.parametrize("name", PICTURES)
def test_the_release_computes_what_tensorflow_js_computed(release: Release, name: str) -> None:
    found = run(release, release.pictures[name])
    slots = 91
    columns = [0, *(category.category_id for category in release.imported.categories)]
    for tensor, theirs in release.recorded["pictures"][name].items():
        ours, shape = found[tensor], tuple(theirs["shape"])
        if tensor == "class_logits":
            # Columns of ids that COCO does not use are no outputs of ours.
            whole = np.full(shape, np.nan, np.float32)
            whole[..., columns] = ours
            ours = whole
            assert shape[-1] == slots
        assert np.isfinite(found[tensor]).all(), tensor
        assert ours.shape == shape, tensor
        wanted = np.array(theirs["values"])
        sampled = ours.ravel()[release.recorded["indices"][tensor]]
        known = ~np.isnan(sampled)
        assert known.sum() > 100
        worst = np.abs(sampled[known] - wanted[known]).max() / theirs["max_abs"]
        assert worst <= LIMITS.get(tensor, LIMIT), tensor


def test_every_tensor_of_the_release_has_its_place(release: Release) -> None:
    imported = release.imported
    assert imported.source.endswith("ssdlite_mobilenet_v2_coco_tfjs_model.json")
    assert (len(imported.used), len(imported.not_needed)) == (233, 29)
    assert "Postprocessor/ExpandDims" in imported.not_needed
    assert release.config.head.taps == ("block_13_expansion", "last")
    assert release.config.input.resize == "legacy_bilinear"
    assert release.config.input.mean == release.config.input.std == (127.5, 127.5, 127.5)
    assert len(imported.categories) == 80
    assert any("10 of 91 class columns" in note for note in imported.notes)
