import functools
import re
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torchvision.models import mobilenet_v2

from mnv2_dense.errors import UserError
from mnv2_dense.importing.reading import is_graph, read_weights
from mnv2_dense.importing.tflite import read_tflite
from mnv2_dense.ops.boxes import center_to_corner
from tests.importing.flatbuffers_models import write_everything
from tests.importing.networks import classifier_graph
from tests.importing.random_networks import assert_same_states, classifier, rebuild
from tests.importing.small_graphs import conv_graph


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.onnx", b"", "of no format that is read here; give a .tflite file"),
        ("model.tflite", b"", "not a TFLite file, or truncated"),
        ("model.tflite", b"\x1c\0\0\0TFL3" + bytes(60), "not a TFLite file, or truncated"),
        ("model.pb", b"hello", "not a TensorFlow GraphDef, or truncated"),
        ("model.tar.gz", b"\x1f\x8b damaged", "damaged or truncated archive"),
        ("model.pth", b"hello", "cannot be read as a checkpoint|refused"),
    ],
)
def test_files_of_other_kinds(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file; give a .tflite file"):
        read_weights(tmp_path / "model.pb")


def test_frozen_graphs_and_truncated_ones(tmp_path: Path) -> None:
    original = classifier(5, width_mult=0.35, last_channels=64)
    content = classifier_graph(original).SerializeToString()
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(content)
    for given in (path, tmp_path):
        imported = read_weights(given)
        assert imported.source == str(given)
        assert_same_states(imported.state, original.state_dict())
    for share in (0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(UserError, match="^" + re.escape(f"{path}: ")):
            read_weights(path)


def test_state_dicts(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    state = mobilenet_v2(num_classes=3, width_mult=0.35).state_dict()
    for content in (state, {"state_dict": state}):
        torch.save(content, path)
        assert read_weights(path).settings["backbone"]["width_mult"] == 0.35


def test_graphs_are_told_by_their_names(tmp_path: Path) -> None:
    assert is_graph(tmp_path)
    assert is_graph(Path("a.tflite"))
    assert is_graph(Path("a.tar.gz"))
    assert is_graph(Path("A.TFLITE"))
    assert not is_graph(Path("a.pth"))


def test_suffixes_in_capitals(tmp_path: Path) -> None:
    graph, state = tmp_path / "FROZEN.PB", tmp_path / "W.PTH"
    graph.write_bytes(classifier_graph(classifier(5, width_mult=0.35)).SerializeToString())
    torch.save(mobilenet_v2(num_classes=3, width_mult=0.35).state_dict(), state)
    for path in (graph, state):
        assert read_weights(path).settings["backbone"]["width_mult"] == 0.35
    (tmp_path / "A.TFLITE").write_bytes(b"")
    with pytest.raises(UserError, match="not a TFLite file, or truncated"):
        read_weights(tmp_path / "A.TFLITE")


@pytest.mark.parametrize("spare", [None, "saved_model.pb"])
def test_a_release_without_a_frozen_graph_names_its_tflite_file(
    tmp_path: Path, spare: str | None
) -> None:
    folder, archive = tmp_path / "release", tmp_path / "release.tar.gz"
    folder.mkdir()
    (folder / "model.tflite").write_bytes(b"TFL3")
    if spare is not None:
        (folder / spare).write_bytes(b"")
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, "release")
    with pytest.raises(UserError, match=r"; or its .tflite file, model.tflite$"):
        read_weights(folder)
    with pytest.raises(UserError, match=r"; or unpack its .tflite file and give that$"):
        read_weights(archive)


def test_a_graph_of_quantisation_aware_training(tmp_path: Path) -> None:
    message = classifier_graph(classifier(5, width_mult=0.35))
    node = message.node.add()
    node.name, node.op = "act_quant/FakeQuant", "FakeQuantWithMinMaxVars"
    node.input.extend([message.node[-2].name] * 3)
    message.node.add(name="end", op="Identity", input=[node.name])
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(message.SerializeToString())
    with pytest.raises(UserError, match=r"quantisation-aware training.*give the .tflite file"):
        read_weights(path)


# Published files


class Published(NamedTuple):
    name: str
    task: str
    width: float
    size: tuple[int, int]
    output_stride: int
    used: int
    not_needed: int
    classes: int


FILES = [
    Published("deeplabv3_257_mv_gpu.tflite", "segmentation", 0.5, (257, 257), 8, 110, 3, 21),
    Published(
        "deeplabv3_mnv2_dm05_pascal_quant.tflite", "segmentation", 0.5, (513, 513), 16, 110, 3, 21
    ),
    Published(
        "deeplabv3_mnv2_pascal_quant.tflite", "segmentation", 1.0, (513, 513), 16, 110, 3, 21
    ),
    Published(
        "mobilenet_v2_1.0_224_quant.tflite", "classification", 1.0, (224, 224), 32, 106, 1, 0
    ),
    Published(
        "ssdlite_mobilenet_v2_coco_0.5_200x200.tflite", "detection", 0.5, (200, 200), 32, 176, 4, 80
    ),
]


def weights(shared: Path, name: str) -> Path:
    return shared / "data" / "weights" / name


@pytest.mark.parametrize("published", FILES, ids=lambda published: published.name)
def test_published_files(shared: Path, published: Published) -> None:
    start = time.perf_counter()
    imported = read_weights(weights(shared, published.name))
    assert time.perf_counter() - start < 2
    settings: dict[str, Any] = imported.settings
    backbone, given = settings["backbone"], settings["input"]
    found = Published(
        published.name,
        imported.task,
        backbone["width_mult"],
        (given["height"], given["width"]),
        backbone["output_stride"],
        len(imported.used),
        len(imported.not_needed),
        len(imported.categories),
    )
    assert found == published
    assert imported.folded > 50
    rebuild(imported)


DETECTOR = "ssdlite_mobilenet_v2_coco_0.5_200x200.tflite"


def test_the_published_detectors_anchors_and_decoding(shared: Path) -> None:
    path = weights(shared, DETECTOR)
    imported = read_weights(path)
    assert imported.settings["decode"] == {
        "score_threshold": 0.0,
        "nms_iou_threshold": 0.6,
        "nms": "across_classes",
        "max_candidates": None,
        "max_detections_per_class": None,
        "max_detections": 100,
    }
    assert imported.settings["loss"] == {"classification": "sigmoid"}
    backbone = imported.settings["backbone"]
    assert (backbone["min_channels"], backbone["first_shortcut"]) == (16, False)
    graph = read_tflite(path)
    (post,) = [node for node in graph.nodes if node.op == "detection_post_process"]
    table = torch.from_numpy(graph.constants[post.inputs[2]])
    with torch.no_grad():
        anchors = rebuild(imported)(torch.zeros(1, 3, 200, 200)).anchors
    theirs, ours = (center_to_corner(each) for each in (table[:, [1, 0, 3, 2]], anchors))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_published_bytes_are_normalised_as_the_files_say(shared: Path) -> None:
    for name, mean, std in (
        ("deeplabv3_mnv2_pascal_quant.tflite", 128.0, 128.0),
        (DETECTOR, 127.0, 127.5),
    ):
        given = read_weights(weights(shared, name)).settings["input"]
        assert (given["mean"], given["std"]) == ([mean] * 3, [std] * 3)


@functools.cache
def _small(kind: str) -> bytes:
    if kind == "pb":
        return conv_graph().message.SerializeToString()
    with tempfile.TemporaryDirectory() as folder:
        return write_everything(Path(folder) / "small.tflite").read_bytes()


@hypothesis.settings(max_examples=100, deadline=None, derandomize=True)
@hypothesis.given(
    kind=st.sampled_from(["pb", "tflite"]),
    changes=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=6),
    cut=st.none() | st.integers(0, 2000),
)
def test_spoilt_files(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    changes: list[tuple[int, int]],
    cut: int | None,
) -> None:
    """The long version is in docs/experiments/fuzz."""
    content = bytearray(_small(kind))
    for place, byte in changes:
        content[place % len(content)] = byte
    path = tmp_path_factory.mktemp("spoilt") / f"a.{kind}"
    path.write_bytes(content[:cut])
    # None of the two is a whole network, so that all are refused, in one line.
    with pytest.raises(UserError) as caught:
        read_weights(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
