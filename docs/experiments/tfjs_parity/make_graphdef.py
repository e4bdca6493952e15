"""Makes a frozen TensorFlow graph out of the filled model, as the release has one.

python docs/experiments/tfjs_parity/make_graphdef.py FOLDER

FOLDER is what fill.py wrote; it gets frozen_inference_graph.pb.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto import attr_value_pb2, graph_pb2, tensor_pb2, tensor_shape_pb2

TYPES = {np.dtype("float32"): (1, "float_val"), np.dtype("int32"): (3, "int_val")}
"""The number of a type in types.proto, and where its single values stand."""


def make_graphdef(model: Mapping[str, Any], values: Mapping[str, np.ndarray]) -> graph_pb2.GraphDef:
    """The nodes of a model.json as a GraphDef whose constants are `values`."""
    graph = graph_pb2.GraphDef()
    for node in model["modelTopology"]["node"]:
        made = graph.node.add(name=node["name"], op=node["op"], input=node["input"])
        for name, value in node["attr"].items():
            if "tensor" in value:
                made.attr[name].tensor.CopyFrom(_tensor(values[node["name"]]))
            else:
                made.attr[name].CopyFrom(_attribute(value))
    return graph


def _tensor(value: np.ndarray) -> tensor_pb2.TensorProto:
    """As TensorFlow writes it: bytes, or a number where there is only one."""
    number, field = TYPES[value.dtype]
    shape = _shape({"dim": [{"size": side} for side in value.shape]})
    tensor = tensor_pb2.TensorProto(dtype=number, tensor_shape=shape)
    if value.size == 1:
        getattr(tensor, field).append(value.item())
    else:
        tensor.tensor_content = value.astype(value.dtype.newbyteorder("<")).tobytes()
    return tensor


def _shape(shape: Mapping[str, Any]) -> tensor_shape_pb2.TensorShapeProto:
    made = tensor_shape_pb2.TensorShapeProto(unknown_rank=shape.get("unknownRank", False))
    for dim in shape["dim"]:
        made.dim.add(size=int(dim["size"]))
    return made


def _attribute(value: Mapping[str, Any]) -> attr_value_pb2.AttrValue:
    """An attribute: in JSON, bytes are lists of their codes and 64-bit integers are texts."""
    ((kind, content),) = value.items()
    if kind == "list":
        return attr_value_pb2.AttrValue(list={"i": [int(number) for number in content["i"]]})
    if kind == "shape":
        return attr_value_pb2.AttrValue(shape=_shape(content))
    convert = {"s": bytes, "i": int, "f": float, "b": bool, "type": int}[kind]
    return attr_value_pb2.AttrValue(**{kind: convert(content)})


def main() -> None:
    """Writes the graph."""
    folder = Path(sys.argv[1])
    model = json.loads((folder / "model.json").read_text())
    with np.load(folder / "weights.npz", allow_pickle=False) as archive:
        values = dict(archive)
    out = folder / "frozen_inference_graph.pb"
    out.write_bytes(make_graphdef(model, values).SerializeToString())
    print(f"{len(model['modelTopology']['node'])} nodes -> {out}")


if __name__ == "__main__":
    main()
