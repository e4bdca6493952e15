"""MobileNetV2, the feature extractor that every task shares."""
