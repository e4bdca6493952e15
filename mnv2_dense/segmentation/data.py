"""Pictures and label maps as samples and batches of the segmenter."""

from collections.abc import Sequence

import torch
from torch.utils.data import Dataset
from typing_extensions import override

from mnv2_dense.errors import UserError
from mnv2_dense.ops.distortion import join_distortions
from mnv2_dense.photometric import PhotometricDistortion
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.masks import size_problem
from mnv2_dense.segmentation.transforms import SegmentationTransform
from mnv2_dense.structures import (
    IGNORE_INDEX,
    ImageSize,
    SampleKey,
    SegmentationBatch,
    SegmentationSample,
)
from mnv2_dense.training.sampling import sample_seed

MAX_CANVAS = 100_000_000
"""Pixels of a batch that are made whatever its pictures hold: some 1.5 GB with their floats."""
MAX_WASTE = 10
"""Above that, how many times the pixels of its pictures a batch may have."""


class SegmentationDataset(Dataset[SegmentationSample]):
    """Samples of an index, read, transformed and ready to be collated.

    Pictures are taken in the orientation that their masks were drawn in: see the index.

    Args:
        index: The pictures and their masks.
        transform: Makes a picture and its label map ready for the network.
        seed: With a sample's epoch and index it decides the sample's augmentation, so the same
            seed gives the same samples whatever the number of loader processes.
        left_to_device: Colour distortion that goes along with a sample, to be done to the batch.
    """

    def __init__(
        self,
        index: SegmentationIndex,
        transform: SegmentationTransform,
        seed: int = 0,
        left_to_device: PhotometricDistortion | None = None,
    ) -> None:
        self.index = index
        self.transform = transform
        self.seed = seed
        self.left_to_device = left_to_device

    def __len__(self) -> int:
        return len(self.index)

    @override
    # pyrefly: ignore[bad-override-param-name]  the sampler's keys are no plain indices
    def __getitem__(self, key: SampleKey) -> SegmentationSample:
        """The sample `key.index` as augmented in `key.epoch`.

        Raises:
            UserError: The picture or its mask cannot be read, or their sizes differ.
        """
        image = self.index.image(key.index)
        label_map = self.index.label_map(key.index)
        problem = size_problem(ImageSize(*image.shape[:2]), ImageSize(*label_map.shape))
        if problem:
            raise UserError(f"{self.index.mask_place(key.index)}: {problem}")
        seed = sample_seed(self.seed, key)
        image, label_map = self.transform(image, label_map, seed)
        return SegmentationSample(
            image=torch.from_numpy(image).permute(2, 0, 1),
            label_map=torch.from_numpy(label_map),
            image_id=self.index.image_id(key.index),
            distortion=None if self.left_to_device is None else self.left_to_device.draw(seed),
        )


def collate(samples: Sequence[SegmentationSample]) -> SegmentationBatch:
    """The batch of the samples, in their order, on the smallest canvas that holds them all.

    Images stay channels last in memory, as pictures are decoded and networks read them.

    Raises:
        UserError: The canvas would take far more memory than the pictures: a flat and a tall one.
    """
    sizes = [ImageSize(*sample.label_map.shape) for sample in samples]
    canvas = (
        max((size.height for size in sizes), default=0),
        max((size.width for size in sizes), default=0),
    )
    pixels = len(sizes) * canvas[0] * canvas[1]
    if pixels > max(MAX_CANVAS, MAX_WASTE * sum(size.height * size.width for size in sizes)):
        names = ", ".join(sample.image_id for sample in samples)
        raise UserError(
            f"the pictures {names} are too unlike in shape to share a batch ({canvas[1]} x "
            f"{canvas[0]} pixels hold them all); set data.val_batch_size=1"
        )
    images = torch.zeros((len(samples), *canvas, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    label_maps = torch.full((len(samples), *canvas), IGNORE_INDEX, dtype=torch.uint8)
    for place, (sample, size) in enumerate(zip(samples, sizes, strict=True)):
        images[place, :, : size.height, : size.width] = sample.image
        label_maps[place, : size.height, : size.width] = sample.label_map
    return SegmentationBatch(
        images,
        label_maps,
        sizes,
        [sample.image_id for sample in samples],
        distortions=join_distortions([sample.distortion for sample in samples]),
    )
