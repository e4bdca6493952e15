import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import psutil
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from mnv2_dense.detection.data import DetectionDataset, collate
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.detection.targets import build_index
from mnv2_dense.detection.transforms import EvalTransform, TrainTransform
from mnv2_dense.errors import UserError
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.images import read_image
from mnv2_dense.ops.distortion import distort_batch
from mnv2_dense.ops.legacy_resize import resize_legacy
from mnv2_dense.photometric import PhotometricDistortion
from mnv2_dense.structures import BatchTargets, DetectionSample, ImageSize, SampleKey
from tests.detection.coco_folder import HEIGHT, WIDTH, Folder, content


def dataset(index: DetectionIndex, seed: int = 0) -> DetectionDataset:
    transform = TrainTransform(ImageSize(48, 64), (124, 116, 104), 0.5, 0.5, 3.0, 0.8, 0.3, 0.5)
    return DetectionDataset(index, transform, seed)


def test_sample(folder: Folder) -> None:
    index = folder.read(content())
    samples = DetectionDataset(index, EvalTransform(ImageSize(60, 120)))
    assert len(samples) == 3
    image, targets, image_id, size, distortion = samples[SampleKey(1, 0)]
    assert (image.shape, image.dtype, distortion) == ((3, 60, 120), torch.uint8, None)
    assert image[0].unique().tolist() == [70]
    assert targets.boxes[0].tolist() == [3, 4, 33, 14]
    assert (targets.boxes.dtype, targets.labels.dtype) == (torch.float32, torch.int64)
    assert (image_id, size) == (70, ImageSize(HEIGHT, WIDTH))


def test_unrounded_pictures_stay_so_in_batches_and_between_processes(folder: Folder) -> None:
    index = folder.read(content())
    size = ImageSize(61, 50)
    samples = DetectionDataset(index, EvalTransform(size, "legacy_bilinear"))
    keys = [SampleKey(i, 0) for i in range(3)]
    for workers in (0, 1):
        (batch,) = DataLoader(samples, 3, sampler=keys, num_workers=workers, collate_fn=collate)
        assert (batch.images.shape, batch.images.dtype) == ((3, 3, *size), torch.float32)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        for image, key in zip(batch.images, keys, strict=True):
            expected = resize_legacy(read_image(index.path(key.index)), size)
            assert torch.equal(image, torch.from_numpy(expected).permute(2, 0, 1))


def test_exif_rotation_is_ignored(folder: Folder) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    index = folder.read(content())
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder.images / "5.png", exif=exif)
    assert dataset(index)[SampleKey(0, 0)].original_size == ImageSize(HEIGHT, WIDTH)


def test_size_unlike_the_file_is_named(folder: Folder) -> None:
    index = folder.read(content())
    Image.new("RGB", (41, 30)).save(folder.images / "5.png")
    with pytest.raises(UserError, match=r"5\.png: .* 41 x 30 .* 40 x 30; "):
        dataset(index)[SampleKey(0, 0)]
    Image.new("RGB", (30, 40)).save(folder.images / "5.png")
    with pytest.raises(UserError, match=r"30 x 40 .* 40 x 30 \(swapped"):
        dataset(index)[SampleKey(0, 0)]


def test_corrupt_picture_is_named_from_a_worker(folder: Folder) -> None:
    index = folder.read(content())
    (folder.images / "900.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    keys = [SampleKey(i, 0) for i in range(3)]
    loader = DataLoader(dataset(index), sampler=keys, num_workers=1, collate_fn=collate)
    with pytest.raises(UserError, match=r"900\.png"):
        list(loader)


def same(first: DetectionSample, second: DetectionSample) -> bool:
    return (
        torch.equal(first.image, second.image)
        and torch.equal(first.targets.boxes, second.targets.boxes)
        and torch.equal(first.targets.labels, second.targets.labels)
    )


def test_seed_epoch_and_index_decide_the_augmentation(folder: Folder) -> None:
    index = folder.read(content())
    first, again, other = dataset(index, 3), dataset(index, 3), dataset(index, 4)
    key = SampleKey(1, 2)
    sample = first[key]
    again[SampleKey(0, 2)]  # What was loaded before does not matter.
    assert same(sample, again[key])
    assert not same(sample, other[key])
    assert not same(sample, first[SampleKey(1, 3)])


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(folder: Folder, workers: int) -> None:
    samples = dataset(folder.read(content()), 3)
    keys = [SampleKey(i % 3, i // 3) for i in range(12)]
    alone, parallel = (
        list(DataLoader(samples, 4, sampler=keys, num_workers=count, collate_fn=collate))
        for count in (0, workers)
    )
    assert len(alone) == len(parallel) == 3
    for ours, theirs in zip(alone, parallel, strict=True):
        assert type(theirs) is type(ours)
        assert torch.equal(ours.images, theirs.images)
        assert ours.image_ids == theirs.image_ids
        assert ours.original_sizes == theirs.original_sizes
        assert type(theirs.targets) is BatchTargets
        assert all(map(torch.equal, ours.targets, theirs.targets))


def test_collate(folder: Folder) -> None:
    samples = [dataset(folder.read(content()))[SampleKey(i, 0)] for i in (2, 1)]
    batch = collate(samples)
    assert batch.images.shape == (2, 3, 48, 64)
    assert batch.image_ids == [900, 70]
    assert len(samples[0].targets.labels) == 0
    assert torch.equal(batch.targets.boxes, samples[1].targets.boxes)
    assert torch.equal(batch.targets.labels, samples[1].targets.labels)
    assert set(batch.targets.images.tolist()) == {1}
    assert batch.original_sizes == [ImageSize(HEIGHT, WIDTH)] * 2


def test_colours_left_to_the_device_go_along(folder: Folder) -> None:
    index, colours = folder.read(content()), PhotometricDistortion(0.5)
    sides, mean, rest = ImageSize(48, 64), (124, 116, 104), (0.5, 3.0, 0.8, 0.3, 0.5)
    plain = DetectionDataset(index, TrainTransform(sides, mean, 0.0, *rest), 3, colours)
    distorted = DetectionDataset(index, TrainTransform(sides, mean, 0.5, *rest), 3)
    keys = [SampleKey(i % 3, i) for i in range(30)]
    (left,) = DataLoader(plain, 30, sampler=keys, num_workers=1, collate_fn=collate)
    done = collate([distorted[key] for key in keys])
    assert torch.equal(left.targets.boxes, done.targets.boxes)
    assert (left.distortions.shape, done.distortions) == ((30, 5), None)
    again = distort_batch(left.images, left.distortions)
    assert not torch.equal(left.images, done.images)
    assert (again.int() - done.images.int()).abs().max() <= 1


def test_a_batch_of_nothing_crosses_processes_with_what_is_bad() -> None:
    batch = collate([])._replace(bad_images=["a.jpg: damaged"])
    again = pickle.loads(ForkingPickler.dumps(batch))
    assert again.images.shape == (0, 3, 0, 0)
    assert [each.shape for each in again.targets] == [(0, 4), (0,), (0,)]
    assert again[2:] == ([], [], ["a.jpg: damaged"], None)


def test_a_batch_crosses_processes_with_four_tensors(folder: Folder) -> None:
    # Every tensor is an open file on its way; two per image would run out of them.
    index = folder.read(content())
    batch = collate([dataset(index)[SampleKey(i % 3, i)] for i in range(40)])
    process = psutil.Process()
    before = process.num_fds()
    data = ForkingPickler.dumps(batch)
    assert process.num_fds() - before <= 12
    assert len(data) < 10_000


def test_real_coco_samples(shared: Path) -> None:
    root = shared / "data" / "coco"
    index = build_index(
        read_coco(root / "annotations" / "instances_val2017.json", root / "val2017")
    )
    samples = dataset(index)
    batch = collate([samples[SampleKey(i, 1)] for i in range(24)])
    assert batch.images.shape == (24, 3, 48, 64)
    assert len(batch.targets.labels) > 24
