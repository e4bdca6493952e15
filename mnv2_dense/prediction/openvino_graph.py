"""What is changed in graphs of our ONNX files for OpenVINO."""

from typing import Any

import numpy as np

from mnv2_dense.prediction.engine import IMAGES, OUTPUTS, SCORE_THRESHOLD
from mnv2_dense.prediction.manifest import Manifest


def adapt(openvino: Any, model: Any, manifest: Manifest) -> None:
    """Changes a graph as OpenVINO reads it out of an ONNX file; what it computes stays."""
    if manifest.task == "detection":
        _free_threshold(openvino.opset13, model)
    else:
        _label_fast(openvino.opset13, model, align_corners=manifest.decoding["align_corners"])


def _free_threshold(ops: Any, model: Any) -> None:
    """Makes the threshold of a detector an input.

    In ONNX it is an input that may be left out, of which OpenVINO's reader makes a constant.
    """
    for node in model.get_ops():
        if node.get_type_name() == "Constant" and node.get_friendly_name() == SCORE_THRESHOLD:
            threshold = ops.parameter([], np.float32, SCORE_THRESHOLD)
            threshold.output(0).tensor.set_names({SCORE_THRESHOLD})
            node.output(0).replace(threshold.output(0))
            model.add_parameters([threshold])


def _label_fast(ops: Any, model: Any, *, align_corners: bool) -> None:
    """Up-samples a segmenter's logits with their channels second.

    OpenVINO takes ten times as long for the form that ONNX Runtime is fast with.
    """
    label_map, class_logits = (model.output(name).get_node() for name in OUTPUTS["segmentation"])
    sides = ops.gather(ops.shape_of(model.input(IMAGES).get_node()), np.array([1, 2]), np.int64(0))
    logits = ops.interpolate(
        class_logits.input_value(0),
        sides,
        "linear_onnx",
        "sizes",
        coordinate_transformation_mode="align_corners" if align_corners else "half_pixel",
        axes=np.array([2, 3]),
    )
    best = ops.topk(logits, np.int64(1), 1, "max", "none", index_element_type="i32")
    labels = ops.convert(ops.squeeze(best.output(1), np.array([1])), np.uint8)
    labels.output(0).tensor.set_names({OUTPUTS["segmentation"][0]})
    model.remove_result(label_map)
    model.add_results([ops.result(labels)])
