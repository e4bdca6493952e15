from collections.abc import Callable
from pathlib import Path

import pytest

from mnv2_dense.builders import build_task
from mnv2_dense.commands.column import Column
from mnv2_dense.commands.columns import column_of
from mnv2_dense.commands.detection import DetectionColumn
from mnv2_dense.commands.segmentation import SegmentationColumn
from mnv2_dense.config.schema import Config
from mnv2_dense.structures import Category, ImageSize
from tests.commands.tiny import config_of, segmentation_config_of

CATEGORIES = (Category(3, "cat"), Category(7, "dog"))


@pytest.mark.parametrize(
    ("make", "kind"), [(config_of, DetectionColumn), (segmentation_config_of, SegmentationColumn)]
)
def test_the_task_chooses_the_column(make: Callable[..., Config], kind: type[Column]) -> None:
    config = make(Path("data"), "input.height=96", "input.width=160")
    task = build_task(config, CATEGORIES)
    column = column_of(config, task, CATEGORIES)
    assert type(column) is kind
    assert column.task is task
    assert column.size == ImageSize(height=96, width=160)
    assert (column.names, column.categories) == (["cat", "dog"], list(CATEGORIES))
