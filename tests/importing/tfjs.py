"""The released detector's graph, of a tfjs model's topology, with values of our own."""

from typing import Any

import numpy as np

from tests.importing.graph_builder import GraphBuilder

TFJS_INTEGERS: dict[str, list[int] | int] = {
    "Postprocessor/Reshape_1/shape": [-1, 4],
    "MultipleGridAnchorGenerator/assert_equal/x": 1917,
    "Postprocessor/ExpandDims_1/dim": 2,
    "BoxPredictor_0/stack/1": 1083,
    "BoxPredictor_1/stack/1": 600,
    "BoxPredictor_2/stack/1": 150,
    "BoxPredictor_3/stack/1": 54,
    "BoxPredictor_4/stack/1": 24,
    "BoxPredictor_5/stack/1": 6,
    "BoxPredictor_0/stack/3": 4,
    "BoxPredictor_0/stack_1/2": 91,
    "Preprocessor/map/TensorArrayStack/range/start": 0,
    "Postprocessor/strided_slice/stack": [0],
    "Postprocessor/strided_slice/stack_1": [1],
    "Postprocessor/Tile/multiples/1": 1,
    "Postprocessor/Slice/begin": [0, 0, 1],
    "Postprocessor/Slice/size": [-1, -1, -1],
    "Preprocessor/map/while/ResizeImage/ExpandDims/dim": 0,
    "Preprocessor/map/while/ResizeImage/stack": [300, 300],
    "Preprocessor/map/while/add/y": 1,
    "Postprocessor/Decode/transpose/sub_1": [1, 0],
    "Postprocessor/Decode/get_center_coordinates_and_sizes/transpose/sub_1": [1, 0],
    "Postprocessor/Decode/transpose_1/sub_1": [1, 0],
}
"""Integers of the release at 300x300; they follow from its wiring."""


def tfjs_values(content: Any, seed: int = 0) -> dict[str, np.ndarray]:
    """Values of the shapes that a tfjs model names: random floats with which the signal
    survives, and the integers that are known."""
    chance = np.random.default_rng(seed)
    values: dict[str, np.ndarray] = {}
    for group in content["weightsManifest"]:
        for weight in group["weights"]:
            name, shape = weight["name"], weight["shape"]
            if weight["dtype"] == "int32":
                values[name] = np.array(TFJS_INTEGERS[name], np.int32).reshape(shape)
                continue
            drawn = chance.standard_normal(shape).astype(np.float32)
            fan_in = np.prod(shape[:2] if "depthwise_weights" in name else shape[:-1])
            if name.endswith(("gamma", "variance", "batchnorm/mul")) or not shape:
                drawn = np.abs(drawn) * np.float32(0.2) + np.float32(0.9)
            factor = np.sqrt(2 / fan_in) if len(shape) == 4 else 1
            values[name] = np.asarray(drawn * factor, np.float32)
    return values


def graphdef_from_tfjs(content: Any, values: dict[str, np.ndarray]) -> Any:
    """A GraphDef of a tfjs model's topology, with `values` as its constants."""
    builder = GraphBuilder()
    for node in content["modelTopology"]["node"]:
        if node["op"] == "Const":
            builder.const(node["name"], values[node["name"]])
            continue
        made = builder.message.node.add(name=node["name"], op=node["op"], input=node["input"])
        for key, value in node["attr"].items():
            ((kind, given),) = value.items()
            _write_tfjs_attribute(made.attr[key], kind, given)
    return builder.message


def _write_tfjs_attribute(attribute: Any, kind: str, given: Any) -> None:
    if kind == "s":
        attribute.s = bytes(given)  # character codes
    elif kind == "shape":
        attribute.shape.unknown_rank = given.get("unknownRank", False)
        for dim in given["dim"]:
            attribute.shape.dim.add(size=int(dim["size"]))
    elif kind == "list":
        attribute.list.i.extend(int(each) for each in given["i"])
    elif kind in ("i", "type"):
        setattr(attribute, kind, int(given))
    else:
        setattr(attribute, kind, given)
