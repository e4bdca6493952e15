from pathlib import Path

import pytest

from mnv2_dense.builders import count_classes, read_split
from mnv2_dense.builders.scenes import DRAWN, advise
from mnv2_dense.config.loader import load_config
from mnv2_dense.config.sections import Data
from mnv2_dense.errors import UserError
from tests.commands.tiny import CONFIG


def test_only_what_is_ours_is_called_ours(tmp_path: Path) -> None:
    assert advise(Data(root=str(tmp_path))) is None
    data = Data(root=str(tmp_path), generate="shapes")
    assert "holds no built-in scenes: name a folder that is not there" in str(advise(data))
    (tmp_path / DRAWN).parent.mkdir()
    (tmp_path / DRAWN).touch()
    assert "was drawn by an earlier version: name a new folder" in str(advise(data))


def test_a_detector_of_scenes_is_not_sent_to_coco(tmp_path: Path) -> None:
    (tmp_path / "train2017").mkdir()
    config = load_config(CONFIG, [f"data.root={tmp_path}"])
    with pytest.raises(UserError, match=r"instances_val2017\.json\. .* holds no built-in scenes"):
        read_split(config, "val")


def test_classes_are_known_before_the_scenes_are_drawn(tmp_path: Path) -> None:
    assert count_classes(load_config(CONFIG, [f"data.root={tmp_path / 'new'}"])) == 10
    with pytest.raises(UserError, match=r"to count the classes .* give data\.num_classes=N"):
        count_classes(load_config(CONFIG, [f"data.root={tmp_path}"]))
