from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.downloading.sbd import AUGMENTED_LIST, AUGMENTED_MASKS, add_sbd, read_labels
from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.folders import read_folders
from mnv2_dense.segmentation.masks import MaskRule
from mnv2_dense.structures import Category
from tests.downloading.archives import SBD, VOC, label_map, mat_of, sbd_files, voc_files, write


class Folders:
    def __init__(self, root: Path) -> None:
        self.sbd, self.data, self.out = root / "sbd", root / "data", root / "out"
        write(sbd_files(), self.sbd)
        write(voc_files(), self.data)

    def add(self) -> list[str]:
        add_sbd(self.sbd, self.data, self.out)
        return (self.out / AUGMENTED_LIST).read_text().split()

    def labels(self, name: str) -> np.ndarray:
        with Image.open(self.out / AUGMENTED_MASKS / f"{name}.png") as mask:
            assert mask.mode == "P"
            return np.array(mask)

    def refuse(self) -> str:
        with pytest.raises(UserError) as caught:
            self.add()
        return str(caught.value)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def test_the_set_is_sbd_and_voc_train_without_voc_val(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    assert folders.add() == ["2007_a", "2007_b", "2008_c", "2008_d"]
    assert "train_aug: 4 pictures, 2 of them with VOC's own masks" in capsys.readouterr().out
    masks = {path.stem for path in (folders.out / AUGMENTED_MASKS).iterdir()}
    assert masks == {"2007_a", "2007_b", "2008_c", "2008_d"}


def test_vocs_masks_come_first(folders: Folders) -> None:
    folders.add()
    assert np.array_equal(folders.labels("2007_b"), label_map(1))  # SBD has 5 there
    assert np.array_equal(folders.labels("2008_c"), label_map(5))
    own = folders.data / VOC / "SegmentationClass" / "2007_b.png"
    assert (folders.out / AUGMENTED_MASKS / "2007_b.png").read_bytes() == own.read_bytes()


def test_training_reads_the_result(folders: Folders) -> None:
    folders.add()
    index = read_folders(
        images=folders.data / VOC / "JPEGImages",
        masks=folders.out / AUGMENTED_MASKS,
        list_file=folders.out / AUGMENTED_LIST,
        categories=[Category(label, str(label)) for label in range(21)],
        rule=MaskRule(num_classes=21),
    )
    assert len(index) == 4


def test_a_missing_picture(folders: Folders) -> None:
    (folders.data / VOC / "JPEGImages" / "2008_d.jpg").unlink()
    assert "pictures of train_aug are missing: 2008_d.jpg" in folders.refuse()


def test_a_missing_mask_of_voc(folders: Folders) -> None:
    (folders.data / VOC / "SegmentationClass" / "2007_a.png").unlink()
    assert "2007_a.png: VOC's mask is missing" in folders.refuse()


def test_a_missing_list(folders: Folders) -> None:
    (folders.sbd / SBD / "val.txt").unlink()
    assert "val.txt: cannot be read as a list" in folders.refuse()


def test_a_mask_of_another_size(folders: Folders) -> None:
    write({f"{SBD}/cls/2008_c.mat": mat_of(label_map(5).T.copy())}, folders.sbd)
    assert "2008_c.mat: the mask is 8 x 12 pixels" in folders.refuse()


def test_a_list_that_leads_elsewhere(folders: Folders) -> None:
    write({f"{SBD}/train.txt": b"../../evil\n2008_c"}, folders.sbd)
    assert "lead to other folders: ../../evil" in folders.refuse()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        (b"", "cannot be read"),
        (b"MATLAB 5.0 MAT-file" * 20, "cannot be read"),
        (mat_of(label_map(5))[:300], "cannot be read"),
        (mat_of(label_map(5).astype(np.float64)), "no picture of 8-bit classes"),
        (bytes(2**20 + 1), "larger than 1048576 bytes"),
        (mat_of(label_map(77)), "classes that VOC has not: 77"),
    ],
)
def test_damaged_masks(tmp_path: Path, content: bytes | None, problem: str) -> None:
    file = tmp_path / "x.mat"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=problem):
        read_labels(file)


def test_void_is_a_label(tmp_path: Path) -> None:
    file = tmp_path / "x.mat"
    file.write_bytes(mat_of(label_map(255)))
    assert np.array_equal(read_labels(file), label_map(255))
