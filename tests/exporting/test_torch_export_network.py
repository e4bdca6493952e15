import pytest
import torch
from hypothesis import given, settings

from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.exporting.torch_export_network import Decode
from mnv2_dense.prediction.engine import DetectorArrays
from tests.exporting.decoding import DECODINGS, drawn_outputs, require_same, scores_and_boxes


def decode(name: str, outputs: DetectorOutputs, threshold: float = 0.0) -> DetectorArrays:
    found = Decode(DECODINGS[name])(*scores_and_boxes(outputs), torch.tensor(threshold))
    return DetectorArrays(*(each.numpy() for each in found))


@pytest.mark.parametrize("name", DECODINGS)
def test_a_batch_at_once_is_decoded_as_by_the_decoder(name: str) -> None:
    @settings(max_examples=25)
    @given(drawn_outputs())
    def check(outputs: DetectorOutputs) -> None:
        require_same(outputs, DECODINGS[name], decode(name, outputs))

    check()


@settings(max_examples=25)
@given(drawn_outputs())
def test_the_threshold_can_be_raised_but_not_lowered(outputs: DetectorOutputs) -> None:
    raised = decode("per_class", outputs, 0.55)
    require_same(outputs, {**DECODINGS["per_class"], "score_threshold": 0.55}, raised)
    require_same(outputs, DECODINGS["per_class"], decode("per_class", outputs, 0.1))
