"""The Semantic Boundaries Dataset as more training masks for Pascal VOC: "augmented VOC".

Hariharan et al., "Semantic Contours from Inverse Detectors", ICCV 2011. DeepLabv3 trains on
`train_aug`: SBD's train and val and VOC's train pictures, without VOC's val pictures.
"""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from tqdm import tqdm

from mnv2_dense.drawing import encode_label_map
from mnv2_dense.errors import UserError
from mnv2_dense.image_files import leaves_folder, missing_files
from mnv2_dense.images import image_size
from mnv2_dense.ops.texts import list_first
from mnv2_dense.segmentation.masks import size_problem
from mnv2_dense.structures import ImageSize

VOC = "VOCdevkit/VOC2012"
SETS = f"{VOC}/ImageSets/Segmentation"
SEGMENTATION_CLASS = f"{VOC}/SegmentationClass"
AUGMENTED_MASKS = f"{VOC}/SegmentationClassAug"
AUGMENTED_LIST = f"{SETS}/trainaug.txt"

_SBD = "benchmark_RELEASE/dataset"
_CLASSES = 21
_VOID = 255
_MAX_MAT = 2**20  # a few kilobytes are usual; packed, it may hold a thousand times as much


def add_sbd(unpacked: Path, data: Path, out: Path) -> None:
    """Writes `train_aug`: its list, and a mask for each of its pictures.

    VOC's own mask is copied where VOC has one for training: SBD's are coarser, and without void.

    Args:
        unpacked: Folder with SBD's `benchmark_RELEASE/dataset`: cls/*.mat, train.txt, val.txt.
        data: Folder with VOCdevkit/VOC2012.
        out: Folder to write to, in the same layout as `data`.

    Raises:
        UserError: A list, mask or picture is missing, damaged, or does not fit the others.
    """
    own = _read_names(data / f"{SETS}/train.txt")
    taboo = _read_names(data / f"{SETS}/val.txt")
    extra = _read_names(unpacked / _SBD / "train.txt") | _read_names(unpacked / _SBD / "val.txt")
    names = sorted((own | extra) - taboo)
    pictures = data / VOC / "JPEGImages"
    if missing := missing_files(pictures, [f"{name}.jpg" for name in names]):
        raise UserError(f"{pictures}: pictures of train_aug are missing: {list_first(missing)}")
    masks = out / AUGMENTED_MASKS
    masks.mkdir(parents=True)
    for name in tqdm(names, "writing masks", unit=" masks", disable=None):
        if name in own:
            _copy(data / SEGMENTATION_CLASS / f"{name}.png", masks)
            continue
        file = unpacked / _SBD / "cls" / f"{name}.mat"
        labels = read_labels(file)
        _check_size(file, labels, pictures / f"{name}.jpg")
        encode_label_map(labels).save(masks / f"{name}.png")
    list_file = out / AUGMENTED_LIST
    list_file.parent.mkdir(parents=True)
    list_file.write_text("".join(f"{name}\n" for name in names))
    print(f"train_aug: {len(names)} pictures, {len(own)} of them with VOC's own masks", flush=True)


def read_labels(file: Path) -> NDArray[np.uint8]:
    """The class of every pixel [H, W] by a .mat file of SBD's `cls` folder; 0 is background.

    Raises:
        UserError: The file is missing or damaged, or holds something else.
    """
    try:
        if file.stat().st_size > _MAX_MAT:
            raise ValueError(f"larger than {_MAX_MAT} bytes")
        labels = loadmat(file)["GTcls"][0]["Segmentation"][0]
    except Exception as error:  # The reader raises nearly anything on damaged data.
        raise UserError(f"{file}: cannot be read as a mask of SBD ({error})") from error
    if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8 or labels.ndim != 2:
        raise UserError(f"{file}: its GTcls.Segmentation is no picture of 8-bit classes")
    if foreign := sorted(set(np.unique(labels).tolist()) - {*range(_CLASSES), _VOID}):
        raise UserError(f"{file}: holds classes that VOC has not: {list_first(foreign)}")
    return labels


def _read_names(file: Path) -> set[str]:
    try:
        names = set(file.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as a list of pictures ({error})") from error
    if bad := sorted(name for name in names if "/" in name or leaves_folder(name)):
        raise UserError(f"{file}: names of pictures lead to other folders: {list_first(bad)}")
    return names


def _check_size(file: Path, labels: NDArray[np.uint8], picture: Path) -> None:
    height, width = labels.shape
    if problem := size_problem(image_size(picture), ImageSize(height, width)):
        raise UserError(f"{file}: {problem}")


def _copy(mask: Path, folder: Path) -> None:
    if not mask.is_file():
        raise UserError(f"{mask}: VOC's mask is missing")
    shutil.copyfile(mask, folder / mask.name)
