"""Pictures and boxes as samples and batches of the detector."""

from collections.abc import Sequence

import torch
from torch.utils.data import Dataset
from typing_extensions import override

from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.detection.transforms import DetectionTransform
from mnv2_dense.ops.distortion import join_distortions
from mnv2_dense.photometric import PhotometricDistortion
from mnv2_dense.structures import (
    BatchTargets,
    BoxTargets,
    DetectionBatch,
    DetectionSample,
    SampleKey,
)
from mnv2_dense.training.sampling import sample_seed


class DetectionDataset(Dataset[DetectionSample]):
    """Samples of an index, read, transformed and ready to be collated.

    Args:
        index: The images and their boxes.
        transform: Makes a picture and its boxes ready for the network.
        seed: With a sample's epoch and index it decides the sample's augmentation, so the same
            seed gives the same samples whatever the number of loader processes.
        left_to_device: Colour distortion that goes along with a sample, to be done to the batch.
    """

    def __init__(
        self,
        index: DetectionIndex,
        transform: DetectionTransform,
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
    def __getitem__(self, key: SampleKey) -> DetectionSample:
        """The sample `key.index` as augmented in `key.epoch`.

        Raises:
            UserError: The picture cannot be read, or its size is not the annotation file's.
        """
        size = self.index.size(key.index)
        image = self.index.image(key.index)
        targets = self.index.targets(key.index)
        seed = sample_seed(self.seed, key)
        image, boxes, labels = self.transform(
            image, targets.boxes.numpy(), targets.labels.numpy(), seed
        )
        return DetectionSample(
            image=torch.from_numpy(image).permute(2, 0, 1),
            targets=BoxTargets(torch.from_numpy(boxes), torch.from_numpy(labels)),
            image_id=self.index.image_id(key.index),
            original_size=size,
            distortion=None if self.left_to_device is None else self.left_to_device.draw(seed),
        )


def collate(samples: Sequence[DetectionSample]) -> DetectionBatch:
    """The batch of the samples, in their order; of none, one without pixels.

    Images stay channels last in memory, as pictures are decoded and networks read them.
    """
    images = [sample.image.permute(1, 2, 0) for sample in samples]
    stacked = torch.stack(images) if images else torch.zeros((0, 0, 0, 3), dtype=torch.uint8)
    return DetectionBatch(
        images=stacked.permute(0, 3, 1, 2),
        targets=join_targets([sample.targets for sample in samples]),
        image_ids=[sample.image_id for sample in samples],
        original_sizes=[sample.original_size for sample in samples],
        distortions=join_distortions([sample.distortion for sample in samples]),
    )


def join_targets(targets: Sequence[BoxTargets]) -> BatchTargets:
    """The targets of all images of a batch in three tensors.

    Every tensor costs an open file on its way from a loader process, and a copy to a GPU.
    """
    counts = torch.tensor([len(each.labels) for each in targets], dtype=torch.int64)
    none = BoxTargets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    return BatchTargets(
        boxes=torch.cat([none.boxes, *(each.boxes for each in targets)]),
        labels=torch.cat([none.labels, *(each.labels for each in targets)]),
        images=torch.repeat_interleave(counts),
    )
