"""Evaluation: detections and label maps measured, beside other programs that do so."""
