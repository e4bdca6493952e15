"""Every kind of config, by its `task`."""

from collections.abc import Sequence

from mnv2_dense.config.detection import DetectionConfig
from mnv2_dense.config.joint import JointConfig
from mnv2_dense.config.segmentation import SegmentationConfig

__all__ = [
    "CONFIGS",
    "RUNS",
    "AnyConfig",
    "Config",
    "DetectionConfig",
    "JointConfig",
    "SegmentationConfig",
    "columns_of",
]

Config = DetectionConfig | SegmentationConfig
AnyConfig = Config | JointConfig
"""Of one column, or of both together."""

CONFIGS: dict[str, type[DetectionConfig] | type[SegmentationConfig]] = {
    "detection": DetectionConfig,
    "segmentation": SegmentationConfig,
}
"""The config of every `task` of one column."""
RUNS: dict[str, type[DetectionConfig] | type[SegmentationConfig] | type[JointConfig]] = {
    **CONFIGS,
    "joint": JointConfig,
}
"""The config of everything that can be trained."""


def columns_of(config: AnyConfig) -> Sequence[Config]:
    """The configs of the columns that a config is of: itself, or a joint one's two."""
    if isinstance(config, JointConfig):
        return config.detector(), config.segmenter()
    return (config,)
