"""What is built for a run of any kind: of one column, or of both together."""

from collections.abc import Callable, Sequence

from mnv2_dense import builders
from mnv2_dense.builders import Index, Task, joint
from mnv2_dense.builders.fingerprint import fingerprint
from mnv2_dense.builders.joint import JointIndex
from mnv2_dense.config.schema import AnyConfig, JointConfig
from mnv2_dense.detection.network import Detector
from mnv2_dense.joint.data import JointDataModule
from mnv2_dense.joint.network import JointNetwork
from mnv2_dense.joint.task import JointTask
from mnv2_dense.segmentation.network import Segmenter
from mnv2_dense.structures import Category
from mnv2_dense.training.datamodule import DataModule

AnyIndex = Index | JointIndex
AnyTask = Task | JointTask
AnyData = DataModule | JointDataModule
AnyNetwork = Detector | Segmenter | JointNetwork


def build_task(config: AnyConfig, categories: Sequence[Category]) -> AnyTask:
    """The Lightning module with random weights."""
    if isinstance(config, JointConfig):
        return joint.build_task(config, categories)
    return builders.build_task(config, categories)


def settle_classes(config: AnyConfig, tell: Callable[[str], object] | None = None) -> AnyConfig:
    """The config with the classes of its data; see `builders.settle_classes`."""
    if isinstance(config, JointConfig):
        return joint.settle_classes(config, tell)
    return builders.settle_classes(config, tell)


def read_split(config: AnyConfig, split: str) -> AnyIndex:
    """The pictures and ground truth of `train` or `val`."""
    if isinstance(config, JointConfig):
        return joint.read_split(config, split)
    return builders.read_split(config, split)


def build_data(config: AnyConfig, train: AnyIndex | None, val: AnyIndex) -> AnyData:
    """Loaders over both splits; without `train`, for evaluation only."""
    if isinstance(config, JointConfig):
        assert isinstance(val, JointIndex)
        assert train is None or isinstance(train, JointIndex)
        return joint.build_data(config, train, val)
    assert not isinstance(val, JointIndex)
    assert not isinstance(train, JointIndex)
    return builders.build_data(config, train, val)


def splits_of(index: AnyIndex) -> Sequence[Index]:
    """The data sets of a split, in the order of the config's columns."""
    return (index.detection, index.segmentation) if isinstance(index, JointIndex) else (index,)


def fingerprint_sets(index: AnyIndex) -> str:
    """What tells the data sets of a split from others; see `fingerprint`."""
    return "+".join(map(fingerprint, splits_of(index)))


def network_of(task: AnyTask) -> AnyNetwork:
    """A task's network by its own type."""
    network = task.network
    assert isinstance(network, AnyNetwork)
    return network
