from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from mnv2_dense.errors import UserError
from mnv2_dense.ops.distortion import distort_batch
from mnv2_dense.photometric import PhotometricDistortion
from mnv2_dense.segmentation.data import SegmentationDataset, collate
from mnv2_dense.segmentation.folders import read_folders
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.masks import MaskRule
from mnv2_dense.segmentation.transforms import EvalTransform, TrainTransform
from mnv2_dense.structures import Category, ImageSize, SampleKey, SegmentationSample
from tests.segmentation.voc_folder import HEIGHT, WIDTH, Folder, save_palette


def dataset(index: SegmentationIndex, seed: int = 0) -> SegmentationDataset:
    transform = TrainTransform(ImageSize(33, 49), (124, 116, 104), 0.5, 2.0, 0.25, 0.5, 0.5)
    return SegmentationDataset(index, transform, seed)


def plain(index: SegmentationIndex) -> SegmentationDataset:
    return SegmentationDataset(index, EvalTransform())


def test_sample(folder: Folder) -> None:
    samples = plain(folder.read())
    assert len(samples) == 3
    image, label_map, image_id, distortion = samples[SampleKey(1, 0)]
    assert (image.shape, image.dtype, distortion) == ((3, HEIGHT, WIDTH), torch.uint8, None)
    assert 47 <= image.min() <= image.max() <= 53
    assert (label_map.shape, label_map.dtype) == ((HEIGHT, WIDTH), torch.uint8)
    assert label_map[0].unique().tolist() == [255]
    assert label_map[5, :6].tolist() == [0, 1, 1, 1, 0, 0]
    assert image_id == "2007_000039"


def test_exif_rotation_is_ignored(folder: Folder) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, :3] = 255  # where the mask has class 1
    Image.fromarray(pixels).save(folder.images / "2007_000032.jpg", exif=exif, quality=100)
    image, label_map, *_ = plain(folder.read())[SampleKey(0, 0)]
    assert ((image[0] > 128) == (label_map == 1))[1:].all()


def test_mask_of_another_size_is_named(folder: Folder) -> None:
    index = folder.read()
    save_palette(folder.masks / "2007_000032.png", np.zeros((HEIGHT, 41), np.uint8))
    with pytest.raises(UserError, match=r"2007_000032\.png: the mask is 41 x 30 .* 40 x 30"):
        dataset(index)[SampleKey(0, 0)]


@pytest.mark.parametrize(
    ("number", "file"),
    [(0, "JPEGImages/2007_000032.jpg"), (2, "SegmentationClass/2011_003271.png")],
)
def test_corrupt_files_are_named_from_a_worker(folder: Folder, number: int, file: str) -> None:
    index = folder.read()
    path = folder.images.parent / file
    path.write_bytes(path.read_bytes()[:-60])
    keys = [SampleKey(number, 0)]
    loader = DataLoader(dataset(index), sampler=keys, num_workers=1, collate_fn=collate)
    with pytest.raises(UserError, match=path.name):
        list(loader)


@pytest.mark.parametrize("mode", ["I;16", "CMYK", "RGBA", "P", "L", "1"])
def test_pictures_of_any_mode(folder: Folder, mode: str) -> None:
    gray = np.full((HEIGHT, WIDTH), 128 * 257, np.uint16)
    image = Image.fromarray(gray) if mode == "I;16" else Image.new("RGB", (WIDTH, HEIGHT), "white")
    image = image if mode == "I;16" else image.convert(mode)
    (folder.images / "2007_000032.jpg").unlink()
    image.save(folder.images / ("2007_000032.tif" if mode == "CMYK" else "2007_000032.png"))
    pixels = plain(folder.read())[SampleKey(0, 0)].image
    assert pixels.shape == (3, HEIGHT, WIDTH)
    assert pixels.unique().tolist() == [128 if mode == "I;16" else 255]


@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 1)])
def test_extreme_shapes(folder: Folder, size: tuple[int, int]) -> None:
    Image.new("RGB", size).save(folder.images / "2007_000032.jpg")
    save_palette(folder.masks / "2007_000032.png", np.ones(size[::-1], np.uint8))
    index = folder.read()
    image, label_map, *_ = plain(index)[SampleKey(0, 0)]
    assert image.shape[1:] == label_map.shape == size[::-1]
    image, label_map, *_ = dataset(index)[SampleKey(0, 0)]
    assert (image.shape, label_map.shape) == ((3, 33, 49), (33, 49))
    assert (label_map == 1).any()


def same(first: SegmentationSample, second: SegmentationSample) -> bool:
    return torch.equal(first.image, second.image) and torch.equal(first.label_map, second.label_map)


def test_seed_epoch_and_index_decide_the_augmentation(folder: Folder) -> None:
    index = folder.read()
    first, again, other = dataset(index, 3), dataset(index, 3), dataset(index, 4)
    key = SampleKey(1, 2)
    sample = first[key]
    again[SampleKey(0, 2)]  # What was loaded before does not matter.
    assert same(sample, again[key])
    assert not same(sample, other[key])
    assert not same(sample, first[SampleKey(1, 3)])


def test_loader_processes_change_nothing(folder: Folder) -> None:
    keys = [SampleKey(index, epoch) for epoch in range(2) for index in range(3)]
    batches = [
        list(
            DataLoader(
                dataset(folder.read()),
                sampler=keys,
                batch_size=2,
                num_workers=workers,
                collate_fn=collate,
            )
        )
        for workers in (0, 2)
    ]
    for alone, parallel in zip(*batches, strict=True):
        assert torch.equal(alone.images, parallel.images)
        assert torch.equal(alone.label_maps, parallel.label_maps)
        assert alone[2:] == parallel[2:]


def test_batches_share_the_smallest_canvas() -> None:
    def sample(height: int, width: int, value: int) -> SegmentationSample:
        image = torch.full((3, height, width), 10 * value, dtype=torch.uint8)
        label_map = torch.full((height, width), value, dtype=torch.uint8)
        return SegmentationSample(image, label_map, f"picture {value}")

    batch = collate([sample(2, 3, 1), sample(1, 4, 2)])
    assert (batch.images.dtype, batch.label_maps.dtype) == (torch.uint8, torch.uint8)
    assert batch.images[:, 1].tolist() == [
        [[10, 10, 10, 0], [10, 10, 10, 0]],
        [[20, 20, 20, 20], [0, 0, 0, 0]],
    ]
    assert batch.label_maps.tolist() == [
        [[1, 1, 1, 255], [1, 1, 1, 255]],
        [[2, 2, 2, 2], [255, 255, 255, 255]],
    ]
    assert batch.original_sizes == [ImageSize(2, 3), ImageSize(1, 4)]
    assert batch.image_ids == ["picture 1", "picture 2"]


def test_a_batch_of_nothing() -> None:
    batch = collate([])
    assert (batch.images.shape, batch.label_maps.shape) == ((0, 3, 0, 0), (0, 0, 0))
    assert batch[2:] == ([], [], (), None)


def test_a_flat_and_a_tall_picture_share_no_batch() -> None:
    samples = [
        SegmentationSample(torch.zeros(3, *size), torch.zeros(size), str(size[0]))
        for size in ((20000, 1), (1, 20000))
    ]
    with pytest.raises(UserError, match=r"20000, 1 are too unlike.*data\.val_batch_size=1"):
        collate(samples)
    assert collate(samples[:1]).images.shape == (1, 3, 20000, 1)


def test_a_batch_equals_its_singles(folder: Folder) -> None:
    samples = [dataset(folder.read())[SampleKey(index, 0)] for index in range(3)]
    batch = collate(samples)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch.images, torch.stack([sample.image for sample in samples]))
    assert torch.equal(batch.label_maps, torch.stack([sample.label_map for sample in samples]))


def test_colours_left_to_the_device_go_along(folder: Folder) -> None:
    index, size, mean = folder.read(), ImageSize(33, 49), (124, 116, 104)
    plain = TrainTransform(size, mean, 0.5, 2.0, 0.25, 0.5, photometric=0)
    left = SegmentationDataset(index, plain, 3, PhotometricDistortion(0.5))
    done = SegmentationDataset(index, TrainTransform(size, mean, 0.5, 2.0, 0.25, 0.5, 0.5), 3)
    keys = [SampleKey(i % 3, i) for i in range(30)]
    undone, finished = (collate([each[key] for key in keys]) for each in (left, done))
    assert undone.distortions is not None
    assert finished.distortions is None
    assert torch.equal(undone.label_maps, finished.label_maps)
    assert not torch.equal(undone.images, finished.images)
    again = distort_batch(undone.images, undone.distortions)
    assert (again.int() - finished.images.int()).abs().max() <= 1


def test_real_voc(shared: Path) -> None:
    root = shared / "data" / "voc" / "VOC2012"
    index = read_folders(
        images=root / "JPEGImages",
        masks=root / "SegmentationClass",
        list_file=root / "ImageSets" / "Segmentation" / "val.txt",
        categories=[Category(label, str(label)) for label in range(21)],
        rule=MaskRule(21),
    )
    transform = TrainTransform(ImageSize(257, 257), (127.5, 127.5, 127.5), 0.5, 2.0, 0.25, 0.5, 0)
    for position in range(40):
        image, label_map, *_ = plain(index)[SampleKey(position, 0)]
        assert image.shape[1:] == label_map.shape
        cropped = SegmentationDataset(index, transform)[SampleKey(position, 0)]
        assert cropped.label_map.shape == (257, 257)
        assert set(cropped.label_map.unique().tolist()) <= {255, *label_map.unique().tolist()}
