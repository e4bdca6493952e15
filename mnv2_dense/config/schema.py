"""Every kind of config, by its `task`."""

from mnv2_dense.config.detection import DetectionConfig
from mnv2_dense.config.segmentation import SegmentationConfig

__all__ = ["CONFIGS", "Config", "DetectionConfig", "SegmentationConfig"]

Config = DetectionConfig | SegmentationConfig

CONFIGS: dict[str, type[DetectionConfig] | type[SegmentationConfig]] = {
    "detection": DetectionConfig,
    "segmentation": SegmentationConfig,
}
"""The config of every `task`."""
