"""Segmentation: DeepLabv3 on a mobile backbone."""
