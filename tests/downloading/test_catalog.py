import re
from pathlib import Path

import pytest
from torchvision.datasets import SBDataset
from torchvision.datasets.voc import DATASET_YEAR_DICT

from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import SegmentationConfig
from mnv2_dense.downloading.catalog import CATALOG
from mnv2_dense.downloading.sbd import AUGMENTED_LIST, VOC
from tests.commands.tiny import COCO_CONFIG, SEGMENTATION_CONFIG


def test_voc_and_sbd_are_torchvisions() -> None:
    voc, sbd = CATALOG["voc"].archives[0], CATALOG["sbd"].archives[0]
    known = DATASET_YEAR_DICT["2012"]
    assert (voc.url, voc.md5, voc.name) == (known["url"], known["md5"], known["filename"])
    assert (sbd.url, sbd.md5) == (SBDataset.url, SBDataset.md5)


@pytest.mark.parametrize("name", CATALOG)
def test_entries_are_whole(name: str) -> None:
    for archive in CATALOG[name].archives:
        assert re.fullmatch(r"[0-9a-f]{32}", archive.md5)
        assert archive.name.endswith((".zip", ".tar", ".tgz"))
        assert archive.size > 10**8
        assert archive.unpacked > 10**8


def test_the_configs_look_where_the_files_go() -> None:
    assert Path(load_config(COCO_CONFIG).data.root) == Path("data") / CATALOG["coco"].folder
    config = load_config(SEGMENTATION_CONFIG)
    assert isinstance(config, SegmentationConfig)
    assert Path(config.data.root) == Path("data") / CATALOG["voc"].folder / VOC
    lists = Path(config.data.train_list or "").parent
    assert Path(AUGMENTED_LIST).parent == Path(VOC) / lists
