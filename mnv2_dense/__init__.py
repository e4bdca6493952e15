"""Dense prediction on mobile-class networks: SSDLite and DeepLabv3 on MobileNetV2."""

import os

# albumentations asks the network for a newer version at import unless this is set.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__version__ = "0.1.0"
