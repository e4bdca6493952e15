"""Where the data sets' official archives are, and how to know them."""

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mnv2_dense.downloading.sbd import SEGMENTATION_CLASS, SETS, add_sbd

_MB = 10**6
_COCO = "http://images.cocodataset.org"
_VOC = "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012"
_SBD = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours"


class Archive(NamedTuple):
    """A file to fetch and unpack.

    Attributes:
        url: Its address; the last part is the file's name, whose suffix tells zip from tar.
        md5: Its checksum, 32 hexadecimal digits.
        size: Its bytes: no answer of another size is taken.
        unpacked: Bytes that its files take, estimated for the same check; the exact number is
            read from the archive before it is unpacked.
        members: Beginnings of the names of the files that are wanted.
    """

    url: str
    md5: str
    size: int
    unpacked: int
    members: tuple[str, ...] = ("",)

    @property
    def name(self) -> str:
        """Name of the file."""
        return PurePosixPath(self.url).name


class DataSet(NamedTuple):
    """What one call of the command brings.

    Attributes:
        folder: Where its files go, below the root of all data sets.
        archives: What is fetched.
        requires: Files that must be in `folder` before.
        required_set: The data set that brings those.
        convert: Makes the files to keep of an archive's: called with the folder of the unpacked
            ones, the data set's folder, and the folder to fill. None keeps them as they are.
    """

    folder: str
    archives: tuple[Archive, ...]
    requires: tuple[str, ...] = ()
    required_set: str = ""
    convert: Callable[[Path, Path, Path], None] | None = None


CATALOG: Mapping[str, DataSet] = {
    # Sizes are the servers' Content-Length as public download scripts record it. Checksums: no
    # list of COCO's authors gives them; many public scripts (PaddlePaddle's, MLCommons') agree.
    # The server has no certificate of its own name, so http; the checksum guards the bytes.
    "coco": DataSet(
        folder="coco",
        archives=(
            Archive(
                url=f"{_COCO}/annotations/annotations_trainval2017.zip",
                md5="f4bbac642086de4f52a3fdda2de5fa2c",
                size=252_907_541,
                unpacked=900 * _MB,
            ),
            Archive(
                url=f"{_COCO}/zips/val2017.zip",
                md5="442b8da7639aecaf257c1dceb8ba8c80",
                size=815_585_330,
                unpacked=850 * _MB,
            ),
            Archive(
                url=f"{_COCO}/zips/train2017.zip",
                md5="cced6f7f71b7629ddf16f17bbcfab6b2",
                size=19_336_861_798,
                unpacked=20_000 * _MB,
            ),
        ),
    ),
    # Address and checksum: torchvision 0.27, datasets/voc.py.
    "voc": DataSet(
        folder="",
        archives=(
            Archive(
                url=f"{_VOC}/VOCtrainval_11-May-2012.tar",
                md5="6cd6e144f989b92b3379bac3b3de84fd",
                size=1_999_639_040,
                unpacked=2_050 * _MB,
            ),
        ),
    ),
    # Address and checksum: torchvision 0.27, datasets/sbd.py. Its pictures are VOC's own.
    "sbd": DataSet(
        folder="",
        archives=(
            Archive(
                url=f"{_SBD}/benchmark.tgz",
                md5="82b4d87ceb2ed10f6038a1cba92111cb",
                size=1_419_539_633,
                unpacked=400 * _MB,
                members=(
                    "benchmark_RELEASE/dataset/cls/",
                    "benchmark_RELEASE/dataset/train.txt",
                    "benchmark_RELEASE/dataset/val.txt",
                ),
            ),
        ),
        requires=(f"{SETS}/train.txt", f"{SETS}/val.txt", SEGMENTATION_CLASS),
        required_set="voc",
        convert=add_sbd,
    ),
}
"""The data sets by the name that the command takes."""
