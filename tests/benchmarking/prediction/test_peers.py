import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torchvision.models.detection.ssd import SSD
from torchvision.models.segmentation import DeepLabV3_MobileNet_V3_Large_Weights

from mnv2_dense.benchmarking.prediction.folder import draw_picture
from mnv2_dense.benchmarking.prediction.peers import (
    SEGMENTED_SIZE,
    bare_runtime_call,
    build_ssdlite,
    deeplab_call,
    open_tflite,
    ssdlite_call,
    tflite_call,
)
from mnv2_dense.benchmarking.prediction.random_weights import CANDIDATES
from mnv2_dense.benchmarking.prediction.subjects import Subject
from mnv2_dense.errors import UserError
from mnv2_dense.prediction.preparing import prepare_picture
from mnv2_dense.structures import ImageSize
from tests.benchmarking.prediction.tiny_networks import PICTURE, Peer

SHOWN = draw_picture(500, 375)


@pytest.fixture(scope="module")
def ssdlite() -> SSD:
    return build_ssdlite(SHOWN)


def watch(module: nn.Module, call: Callable[[], Any]) -> list[tuple[Any, Any]]:
    """What a module is given, and what it returns, in a call of its network."""
    seen: list[tuple[Any, Any]] = []

    def note(_: nn.Module, given: Any, returned: Any) -> None:
        seen.append((given, returned))

    with module.register_forward_hook(note):
        call()
    return seen


def test_torchvisions_detector_has_as_many_candidates_as_ours(ssdlite: SSD) -> None:
    ((_, found),) = watch(ssdlite.head, ssdlite_call(ssdlite, SHOWN, 0.3))
    scores = found["cls_logits"].softmax(-1)[..., 1:]
    for score, count in CANDIDATES.items():
        assert count / 2 < int((scores >= score).sum()) < 2 * count


def test_torchvisions_detector_resizes_and_decodes_in_the_call(ssdlite: SSD) -> None:
    ((given, shown),) = watch(ssdlite.transform, ssdlite_call(ssdlite, SHOWN, 0.3))
    found = {score: ssdlite_call(ssdlite, SHOWN, score)()[0] for score in (0.3, 0.01)}
    torch.testing.assert_close(given[0][0], torch.from_numpy(SHOWN).permute(2, 0, 1) / 255)
    resized = shown[0].tensors
    assert resized.shape == (1, 3, 320, 320)
    assert (resized.min() < -0.5, resized.max() > 0.5) == (True, True)  # normalised
    for score, each in found.items():
        assert each["scores"].min() >= score
        assert 320 < each["boxes"][:, 2].max() <= 500  # in pixels of the picture
    assert 0 < len(found[0.3]["boxes"]) < len(found[0.01]["boxes"])


def test_torchvisions_segmenter_is_normalised_as_its_weights_ask() -> None:
    network = Peer()
    labels = deeplab_call(network, PICTURE, argmax=True)()
    image = torch.from_numpy(PICTURE).permute(2, 0, 1)
    preset = DeepLabV3_MobileNet_V3_Large_Weights.DEFAULT.transforms(resize_size=90)
    (seen,) = network.seen
    assert seen.shape == (1, 3, *SEGMENTED_SIZE)
    torch.testing.assert_close(seen[0, :, :90, :120], preset(image))
    assert not seen[..., 90:, :].any()
    assert (labels.shape, labels.dtype) == ((1, 90, 120), np.uint8)
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(deeplab_call(network, PICTURE, argmax=False)(), labels)


def test_torchvisions_segmenter_gives_a_large_picture_its_own_size() -> None:
    large = np.zeros((200, 1026, 3), np.uint8)
    large[:, 600:] = (0, 255, 0)
    network = Peer()
    (labels,) = deeplab_call(network, large, argmax=True)()
    assert not network.seen[0][..., 100:, :].any()  # halved
    assert labels.shape == (200, 1026)
    assert (labels[:, 610:] == 1).all()
    assert (labels[:, :590] != 1).all()


def test_the_bare_runtime_has_the_options_of_the_engine(
    segmenter: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[object, ...]] = []
    session = onnxruntime.InferenceSession

    def open_session(model: Any, options: Any, providers: list[str]) -> Any:
        names = ("intra_op_num_threads", "inter_op_num_threads", "graph_optimization_level")
        values = [getattr(options, name) for name in (*names, "execution_mode")]
        opened.append((*values, *providers))
        return session(model, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", open_session)
    segmenter.open(("onnx",), threads=3)
    bare_runtime_call(segmenter, 3, prepare_picture(PICTURE, segmenter.manifest)[None])()
    assert opened[0] == opened[1]
    assert opened[0][0] == 3


def test_without_onnx_runtime_the_bare_one_says_so(
    segmenter: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="bare ONNX Runtime: onnxruntime is not installed"):
        bare_runtime_call(segmenter, 1, np.zeros((1, 129, 129, 3), np.uint8))


def test_a_file_that_is_no_tflite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.tflite"
    path.write_text("no model")
    with pytest.raises(UserError, match=r"text\.tflite: cannot be opened"):
        open_tflite(path, 1, SEGMENTED_SIZE)


def test_without_litert_its_file_cannot_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(UserError, match=r"--tflite needs LiteRT; pip install"):
        open_tflite(Path("some.tflite"), 1, SEGMENTED_SIZE)


def test_the_tflite_runtime_gives_a_label_map(shared: Path) -> None:
    path = shared / "data" / "weights" / "deeplabv3_mnv2_pascal_quant.tflite"
    (labels,) = tflite_call(path, 1, SEGMENTED_SIZE)()
    assert labels.shape == (1, *SEGMENTED_SIZE)
    with pytest.raises(UserError, match=r"its inputs are \[\(1, 513, 513, 3\)\]; what is timed"):
        tflite_call(path, 1, ImageSize(257, 257))
