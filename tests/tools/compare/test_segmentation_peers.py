import pytest
import torch
from torch import nn

from tools.compare.segmentation_peers import PEERS, SegmentationPeer

THEIRS = "torchvision_deeplabv3_mobilenet_v3_large"


@pytest.fixture(scope="module")
def peer() -> SegmentationPeer:
    return PEERS[THEIRS].build(3, None)


def auxiliary_of(peer: SegmentationPeer) -> list[nn.Parameter]:
    return list(peer.network.get_submodule("aux_classifier").parameters())


def test_the_auxiliary_head_learns_ten_times_as_fast(peer: SegmentationPeer) -> None:
    rest, fast = peer.groups(0.01)
    assert (rest["lr"], fast["lr"]) == (0.01, 0.1)
    both = len(rest["params"]) + len(fast["params"])
    assert both == len(list(peer.parameters()))
    assert fast["params"] == auxiliary_of(peer)


def test_logits_have_the_pictures_size_and_the_auxiliary_ones_are_for_training(
    peer: SegmentationPeer,
) -> None:
    image = torch.rand(2, 3, 64, 64)
    outputs = peer.train()(image)
    assert outputs.class_logits.shape == outputs.auxiliary_logits.shape == (2, 3, 64, 64)
    assert peer.eval()(image).auxiliary_logits is None


def test_what_serves_training_alone_is_not_counted() -> None:
    peer = PEERS[THEIRS].build(3, None)
    before = sum(p.numel() for p in peer.parameters())
    auxiliary = sum(p.numel() for p in auxiliary_of(peer))
    peer.drop_auxiliary()
    assert sum(p.numel() for p in peer.parameters()) == before - auxiliary


def test_smp_has_the_size_and_stride_that_it_is_compared_at() -> None:
    pytest.importorskip("segmentation_models_pytorch")
    peer = PEERS["smp_deeplabv3_mobilenet_v2"].build(3, None).eval()
    image = torch.rand(1, 3, 64, 64)
    assert peer.network.encoder(image)[-1].shape == (1, 1280, 4, 4)
    assert peer(image).class_logits.shape == (1, 3, 64, 64)
    (group,) = peer.groups(0.01)
    assert len(group["params"]) == len(list(peer.parameters()))
