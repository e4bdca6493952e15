import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.prediction.engine import SegmenterArrays
from mnv2_dense.prediction.manifest import KEY
from mnv2_dense.prediction.openvino_engine import OpenVinoEngine, import_openvino
from tests.prediction.networks import SIZE, manifest


def write_model(path: Path, text: str | None, label_map: str = "label_map") -> Path:
    """The label map is the red of the picture; the logits are its colours."""
    openvino = import_openvino(path)
    ops = openvino.opset13
    images = ops.parameter([-1, -1, -1, 3], np.uint8, "images")
    images.output(0).tensor.set_names({"images"})
    red = ops.gather(images, np.int64(0), np.int64(3))
    colors = ops.transpose(ops.convert(images, np.float32), np.array([0, 3, 1, 2]))
    results = []
    for node, name in ((red, label_map), (colors, "class_logits")):
        node.output(0).tensor.set_names({name})
        results.append(ops.result(node))
    model = openvino.Model(results, [images], "by hand")
    if text is not None:
        model.set_rt_info(text, [KEY])
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


def test_results_are_copies_in_the_order_of_the_protocol(tmp_path: Path) -> None:
    text = manifest("segmentation").to_json()
    engine = OpenVinoEngine(write_model(tmp_path / "a.xml", text), threads=1)
    images = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
    first = engine.run(images)
    engine.run(255 - images)
    assert isinstance(first, SegmenterArrays)
    np.testing.assert_array_equal(first.label_maps, images[..., 0])
    np.testing.assert_array_equal(first.class_logits, images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "was not exported by mnv2_dense"),
        ("{", "what it says of itself is damaged"),
        (manifest().to_json(), "not what it says of itself"),
    ],
)
def test_foreign_files_are_refused_in_one_line(
    tmp_path: Path, text: str | None, message: str
) -> None:
    path = write_model(tmp_path / "a.xml", text)
    with pytest.raises(UserError, match=message) as caught:
        OpenVinoEngine(path)
    assert "\n" not in str(caught.value)


def test_a_torn_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    path = write_model(tmp_path / "a.xml", manifest("segmentation").to_json())
    content = path.read_bytes()
    for end in range(0, len(content) - 8, 397):
        path.write_bytes(content[:end])
        with pytest.raises(UserError, match=r"a\.xml"):
            OpenVinoEngine(path, threads=1)


def test_missing_files_are_lines(tmp_path: Path) -> None:
    path = write_model(tmp_path / "a.xml", manifest("segmentation").to_json())
    path.with_suffix(".bin").unlink()
    with pytest.raises(UserError, match=r"its weights, a\.bin, are not beside"):
        OpenVinoEngine(path)
    with pytest.raises(UserError, match="no such file"):
        OpenVinoEngine(tmp_path / "b.xml")


def test_nothing_is_reported_and_torch_is_not_imported(tmp_path: Path) -> None:
    path = write_model(tmp_path / "a.xml", manifest("segmentation").to_json())
    code = (
        "import sys; from pathlib import Path;"
        "from mnv2_dense.prediction.openvino_engine import OpenVinoEngine;"
        f"OpenVinoEngine(Path({str(path)!r}), threads=1);"
        "assert 'torch' not in sys.modules;"
        "assert sys.modules['openvino_telemetry'] is None;"
        "assert not [name for name in sys.modules if name.startswith('openvino_telemetry.')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
