import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.prediction.engine import SegmenterArrays
from mnv2_dense.prediction.litert_engine import LiteRtEngine, quiet_runtime
from mnv2_dense.prediction.manifest import KEY
from tests.importing.flatbuffers_models import ModelWriter, schema
from tests.prediction.networks import SIZE, manifest


def write_model(path: Path, text: bytes | None, size: tuple[int, int] = SIZE) -> Path:
    """The label map is the red of the picture; the logits are the picture."""
    writer = ModelWriter()
    picture = writer.tensor("images", (1, *size, 3), kind="UINT8")
    logits = writer.tensor("class_logits", (1, *size, 3))
    writer.operator("CAST", [picture], [logits], schema.CastOptionsT())
    begin = writer.tensor("begin", (4,), np.array([0, 0, 0, 0], np.int32), "INT32")
    length = writer.tensor("size", (4,), np.array([1, *size, 1], np.int32), "INT32")
    red = writer.tensor("red", (1, *size, 1), kind="UINT8")
    writer.operator("SLICE", [picture, begin, length], [red], schema.SliceOptionsT())
    label_map = writer.tensor("label_map", (1, *size), kind="UINT8")
    to = writer.tensor("to", (3,), np.array([1, *size], np.int32), "INT32")
    writer.operator("RESHAPE", [red, to], [label_map], schema.ReshapeOptionsT())
    if text is not None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = KEY.encode(), len(writer.model.buffers)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(text, np.uint8)
        writer.model.buffers.append(buffer)
        writer.model.metadata = [entry]
    return writer.write(path, outputs=[logits, label_map])


def own(task: str = "segmentation") -> bytes:
    return manifest(task, batch=1).to_json().encode()


def test_a_batch_is_run_picture_by_picture(tmp_path: Path) -> None:
    engine = LiteRtEngine(write_model(tmp_path / "a.tflite", own()), threads=1)
    assert engine.name.startswith("LiteRT 2.")
    images = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
    arrays = engine.run(images)
    assert isinstance(arrays, SegmenterArrays)
    np.testing.assert_array_equal(arrays.label_maps, images[..., 0])
    np.testing.assert_array_equal(arrays.class_logits, images.transpose(0, 3, 1, 2))


def test_pictures_that_it_does_not_take_are_a_line(tmp_path: Path) -> None:
    engine = LiteRtEngine(write_model(tmp_path / "a.tflite", own()), threads=1)
    with pytest.raises(UserError, match=r"a\.tflite: cannot be run by LiteRT"):
        engine.run(np.zeros((1, 5, 6, 3), np.uint8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "was not exported by mnv2_dense"),
        (b"{", "what it says of itself is damaged"),
        (b"\xff\xfe", "not a TFLite file, or truncated"),
        (own("detection"), "not what it says of itself"),
    ],
)
def test_foreign_files_are_refused_in_one_line(
    tmp_path: Path, text: bytes | None, message: str
) -> None:
    path = write_model(tmp_path / "a.tflite", text)
    with pytest.raises(UserError, match=message) as caught:
        LiteRtEngine(path)
    assert "\n" not in str(caught.value)


def test_a_network_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not what it says of itself"):
        LiteRtEngine(write_model(tmp_path / "a.tflite", own(), (5, 6)))


def test_a_torn_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    content = write_model(tmp_path / "a.tflite", own()).read_bytes()
    torn = tmp_path / "torn.tflite"
    for end in range(0, len(content) - 8, 97):
        torn.write_bytes(content[:end])
        with pytest.raises(UserError, match=r"torn\.tflite"):
            LiteRtEngine(torn, threads=1)


def test_a_missing_file_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        LiteRtEngine(tmp_path / "a.tflite")


def test_remarks_are_kept_from_the_terminal_and_errors_are_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with quiet_runtime():
        os.write(2, b"INFO: a remark\nan error\nWARNING:root:of another thread\n")
    assert capfd.readouterr().err == "an error\nWARNING:root:of another thread\n"


def test_torch_is_not_imported() -> None:
    code = (
        "import sys, mnv2_dense.prediction.litert_engine, ai_edge_litert.interpreter;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
