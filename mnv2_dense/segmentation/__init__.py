"""Segmentation: DeepLabv3 and Lite R-ASPP on a mobile backbone."""
