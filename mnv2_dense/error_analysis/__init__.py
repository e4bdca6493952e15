"""Where a detector loses its AP, as TIDE defines it, in NumPy; see docs/reports.md."""

from mnv2_dense.error_analysis.analysis import analyze_errors
from mnv2_dense.error_analysis.confusion import confusion_matrix
from mnv2_dense.error_analysis.report import ClassErrors, Confusion, ErrorAnalysis, Loss

__all__ = [
    "ClassErrors",
    "Confusion",
    "ErrorAnalysis",
    "Loss",
    "analyze_errors",
    "confusion_matrix",
]
