"""The detection column: SSDLite from pictures and boxes to mAP."""
