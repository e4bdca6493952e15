"""Which kind of task a command has before it."""

from collections.abc import Sequence

from mnv2_dense.builders.any_task import AnyTask
from mnv2_dense.builders.parts import input_size
from mnv2_dense.commands.column import Column
from mnv2_dense.commands.detection import DetectionColumn
from mnv2_dense.commands.joint import JointColumn
from mnv2_dense.commands.segmentation import SegmentationColumn
from mnv2_dense.config.schema import AnyConfig, JointConfig
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.joint.task import JointTask
from mnv2_dense.structures import Category


def column_of(config: AnyConfig, task: AnyTask, categories: Sequence[Category]) -> Column:
    """The column that a task belongs to, or both together."""
    if isinstance(config, JointConfig):
        assert isinstance(task, JointTask)
        return JointColumn(config, task, categories)
    kind = DetectionColumn if isinstance(task, DetectionTask) else SegmentationColumn
    return kind(task, categories, input_size(config))
