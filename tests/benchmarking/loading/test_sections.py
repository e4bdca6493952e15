from pathlib import Path

import cv2
import pytest
import torch
from torchvision.transforms import v2

from mnv2_dense.benchmarking.loading import torchvision_detection, torchvision_segmentation
from mnv2_dense.benchmarking.loading.sections import measure_loading
from mnv2_dense.benchmarking.loading.sets import (
    detection_config,
    draw_scenes,
    keys_of,
    segmentation_config,
    training_set,
    with_augmentation,
)
from mnv2_dense.detection.data import DetectionDataset
from mnv2_dense.segmentation.data import SegmentationDataset
from mnv2_dense.structures import SampleKey


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("loading") / "scenes"
    draw_scenes(root, 3)
    return root


def test_every_call_is_timed_beside_its_targets() -> None:
    threads = cv2.getNumThreads(), torch.get_num_threads()
    detection, segmentation, colours = measure_loading(1, pictures=2)
    assert (cv2.getNumThreads(), torch.get_num_threads()) == threads
    assert "2 pictures" in detection.title
    assert [each.target for each in detection.ratios[:3]] == [0.18, 0.18, None]
    assert [each.target for each in segmentation.ratios] == [0.5, *[None] * 4]
    for section in (detection, segmentation, colours):
        assert all(len(timing.seconds) == 1 for timing in section.timings.values())
        assert all(each.value > 0 for each in section.ratios)


def test_samples_are_those_of_training(scenes: Path) -> None:
    config = detection_config(scenes)
    samples, left = training_set(config), training_set(config, "device")
    assert isinstance(samples, DetectionDataset)
    assert keys_of(samples, 2) == [SampleKey(0, 0), SampleKey(1, 0)]
    assert len(keys_of(samples, 9)) == 3
    assert samples[SampleKey(0, 0)].image.shape == (3, 320, 320)
    assert (samples[SampleKey(0, 0)].distortion, samples[SampleKey(0, 0)].image.dtype) == (
        None,
        torch.uint8,
    )
    assert left[SampleKey(0, 0)].distortion is not None
    config = with_augmentation(segmentation_config(scenes), photometric=0.5)
    assert config.augmentation.photometric == 0.5
    assert training_set(config)[SampleKey(0, 0)].label_map.shape == (513, 513)


@pytest.mark.parametrize("policy", ["ssdlite", "ssd"])
@pytest.mark.parametrize("backend", ["pil", "tv_tensor"])
def test_torchvisions_detection_pipeline(
    scenes: Path,
    policy: torchvision_detection.Policy,
    backend: torchvision_detection.Backend,
) -> None:
    samples = training_set(detection_config(scenes))
    assert isinstance(samples, DetectionDataset)
    transform = torchvision_detection.preset(policy, backend)
    steps = [type(step) for step in transform.transforms]
    assert (
        (v2.RandomZoomOut in steps) == (v2.RandomPhotometricDistort in steps) == (policy == "ssd")
    )
    path, targets = samples.index.path(0), samples.index.targets(0)
    image, found = torchvision_detection.load(transform, None, path, targets, seed=1)
    assert (image.dtype, found["boxes"].shape[1]) == (torch.float32, 4)
    images, resized = torchvision_detection.load(
        transform, torchvision_detection.resizing(), path, targets, seed=1
    )
    assert images.tensors.shape == (1, 3, 320, 320)
    scale = 320 / torch.tensor([*image.shape[:0:-1]] * 2)
    torch.testing.assert_close(resized[0]["boxes"], found["boxes"] * scale)


@pytest.mark.parametrize("backend", ["pil", "tv_tensor"])
def test_torchvisions_segmentation_pipeline(
    scenes: Path, backend: torchvision_segmentation.Backend
) -> None:
    samples = training_set(segmentation_config(scenes))
    assert isinstance(samples, SegmentationDataset)
    index, transform = samples.index, torchvision_segmentation.preset(backend)
    padded = 0
    for seed in range(8):
        image, label_map = torchvision_segmentation.load(
            transform, index.path(0), index.mask_path(0), seed
        )
        assert (image.shape, image.dtype) == ((3, 480, 480), torch.float32)
        assert (label_map.shape[-2:], label_map.dtype) == ((480, 480), torch.int64)
        padded += bool((label_map == 255).any())
    assert padded > 0
