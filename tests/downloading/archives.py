"""Small archives in the layouts of the official ones, and a catalogue of them."""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from mnv2_dense.downloading.catalog import CATALOG, Archive, DataSet
from mnv2_dense.drawing import encode_label_map
from tests.downloading.server import Behaviour

WIDTH, HEIGHT = 12, 8
VOC = "VOCdevkit/VOC2012"
SBD = "benchmark_RELEASE/dataset"
VOC_TRAIN, VOC_VAL = ("2007_a", "2007_b"), ("2007_v",)
SBD_TRAIN, SBD_VAL = ("2007_b", "2008_c"), ("2008_d", "2007_v")


def zip_of(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tar_of(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # pyrefly: ignore[no-matching-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def archive_of(url: str, content: bytes, members: tuple[str, ...] = ("",)) -> Archive:
    md5 = hashlib.md5(content).hexdigest()
    return Archive(url, md5, size=len(content), unpacked=len(content), members=members)


def label_map(value: int) -> np.ndarray:
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[2:5, 3:9] = value
    return labels


def picture_bytes(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def coco_files() -> dict[str, dict[str, bytes]]:
    """Files by archive."""
    noise = np.random.default_rng(0)
    return {
        "annotations_trainval2017.zip": {"annotations/instances_train2017.json": b"{}"},
        "val2017.zip": {"val2017/000000000001.jpg": noise.bytes(1000)},
        "train2017.zip": {f"train2017/{i:012}.jpg": noise.bytes(100_000) for i in range(3)},
    }


def voc_files() -> dict[str, bytes]:
    picture = picture_bytes(Image.new("RGB", (WIDTH, HEIGHT), "red"), "JPEG")
    names = sorted({*VOC_TRAIN, *VOC_VAL, *SBD_TRAIN, *SBD_VAL})
    return {
        **{f"{VOC}/JPEGImages/{name}.jpg": picture for name in names},
        **{
            f"{VOC}/SegmentationClass/{name}.png": picture_bytes(
                encode_label_map(label_map(1)), "PNG"
            )
            for name in (*VOC_TRAIN, *VOC_VAL)
        },
        f"{VOC}/ImageSets/Segmentation/train.txt": "\n".join(VOC_TRAIN).encode(),
        f"{VOC}/ImageSets/Segmentation/val.txt": "\n".join(VOC_VAL).encode(),
    }


def sbd_files() -> dict[str, bytes]:
    return {
        f"{SBD}/img/2008_c.jpg": b"not wanted",
        **{f"{SBD}/cls/{name}.mat": mat_of(label_map(5)) for name in (*SBD_TRAIN, *SBD_VAL)},
        f"{SBD}/train.txt": "\n".join(SBD_TRAIN).encode(),
        f"{SBD}/val.txt": "\n".join(SBD_VAL).encode(),
    }


def mat_of(labels: np.ndarray) -> bytes:
    out = io.BytesIO()
    boundaries = np.empty((20, 1), object)
    boundaries[:] = 0
    savemat(out, {"GTcls": {"Boundaries": boundaries, "Segmentation": labels}})
    return out.getvalue()


def write(files: Mapping[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def small_catalog(server: Behaviour) -> dict[str, DataSet]:
    """The catalogue with the archives' contents exchanged for small ones on the server."""
    served = {
        **{name: zip_of(files) for name, files in coco_files().items()},
        "VOCtrainval_11-May-2012.tar": tar_of(voc_files()),
        "benchmark.tgz": tar_of(sbd_files(), "w:gz"),
    }
    server.files |= served
    return {name: _small(dataset, served, server.url) for name, dataset in CATALOG.items()}


def _small(dataset: DataSet, served: Mapping[str, bytes], url: str) -> DataSet:
    archives = (
        archive_of(f"{url}/{archive.name}", served[archive.name], archive.members)
        for archive in dataset.archives
    )
    return dataset._replace(archives=tuple(archives))
