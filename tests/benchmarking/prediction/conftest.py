import pytest

from mnv2_dense.benchmarking.prediction.subjects import Subject, make_subject
from tests.benchmarking.prediction.tiny_networks import PICTURE, TINY_DETECTOR, TINY_SEGMENTER


@pytest.fixture(scope="session")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A tiny one with its files, not to be changed."""
    folder = tmp_path_factory.mktemp("segmenter")
    return make_subject(TINY_SEGMENTER, PICTURE, folder, ("onnx", "torch"))


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """The same of a detector."""
    folder = tmp_path_factory.mktemp("detector")
    return make_subject(TINY_DETECTOR, PICTURE, folder, ("onnx", "torch"))
