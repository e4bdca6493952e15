"""The data sets that loading is timed on: real ones, or the built-in scenes."""

from pathlib import Path

from mnv2_dense.builders import build_data, read_split
from mnv2_dense.config.loader import parse_config
from mnv2_dense.config.schema import Config
from mnv2_dense.shapes.dataset import generate
from mnv2_dense.structures import SampleKey
from mnv2_dense.training.datamodule import KeyedDataset

SCENE = 480
"""Side of the built-in scenes: about as many pixels as COCO's pictures have."""


def detection_config(root: Path) -> Config:
    """SSDLite's own recipe on a set in COCO's layout."""
    data = {
        "root": str(root),
        "train_images": "train2017",
        "train_annotations": "annotations/instances_train2017.json",
    }
    return _parse({"task": "detection", "data": data})


def segmentation_config(root: Path) -> Config:
    """DeepLabv3's own recipe on a set in VOC's layout, or on the built-in scenes."""
    shapes = {
        "format": "folders",
        "train_images": "train2017",
        "train_masks": "label_maps/train2017",
        "image_suffix": ".jpg",
    }
    data = shapes if (root / "label_maps").is_dir() else {"format": "voc"}
    return _parse({"task": "segmentation", "data": {"root": str(root), **data}})


def _parse(document: dict[str, object]) -> Config:
    return parse_config({"name": "loading", **document}, [], name="the benchmark's config")


def draw_scenes(root: Path, pictures: int) -> None:
    """Writes the built-in scenes, as JPEG files, to a new folder."""
    generate(root, train_images=pictures, val_images=1, size=SCENE)


def training_set(config: Config, photometric_on: str = "worker") -> KeyedDataset:
    """The samples that a loader process of the config makes.

    Args:
        config: Whose `training.photometric_on` does not count: `auto` depends on the machine.
        photometric_on: `worker` or `device`.

    Raises:
        UserError: The data cannot be read.
    """
    training = config.training.model_copy(update={"photometric_on": photometric_on})
    config = config.model_copy(update={"training": training})
    index = read_split(config, "train")
    found = build_data(config, index, index).train_dataset
    assert found is not None
    return found


def with_augmentation(config: Config, **changes: float) -> Config:
    """The config with other augmentation."""
    augmentation = config.augmentation.model_copy(update=changes)
    return config.model_copy(update={"augmentation": augmentation})


def keys_of(samples: KeyedDataset, pictures: int) -> list[SampleKey]:
    """The first pictures of the set, each as augmented in the first epoch."""
    return [SampleKey(index, 0) for index in range(min(pictures, len(samples)))]
