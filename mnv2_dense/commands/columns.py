"""Which kind of task a command has before it."""

from collections.abc import Sequence

from mnv2_dense.builders import Task
from mnv2_dense.builders.parts import input_size
from mnv2_dense.commands.column import Column
from mnv2_dense.commands.detection import DetectionColumn
from mnv2_dense.commands.segmentation import SegmentationColumn
from mnv2_dense.config.schema import Config
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.structures import Category


def column_of(config: Config, task: Task, categories: Sequence[Category]) -> Column:
    """The column that a task belongs to."""
    kind = DetectionColumn if isinstance(task, DetectionTask) else SegmentationColumn
    return kind(task, categories, input_size(config))
