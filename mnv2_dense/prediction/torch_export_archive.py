"""torch.export's .pt2 files of strangers, checked before torch reads them.

torch.export.load is made for files that one trusts. It unpickles weights and example inputs, starts
libraries, calls whatever function of torch a graph names, and evaluates expressions and guards as
Python code. What our own files need is little and plain; all else is refused here.
"""

import io
import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

MAX_GRAPH = 64 * 2**20
"""Bytes of the graph's description; that of a network of 90 convolutions has 0.4 million."""
_GRAPH = "models/model.json"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_EXAMPLES = "data/sample_inputs/model.pt"
_EXPECTED = {_GRAPH, *_CONFIGS}
_OTHERS = {
    _EXAMPLES,
    "extra/mnv2_dense",
    "archive_format",
    "archive_version",
    ".data/version",
    ".data/serialization_id",
    "byteorder",
}
_PAYLOAD = re.compile(r"data/(weights/weight|constants/tensor)_\d{1,6}")
_PLAIN = re.compile(r"[\w.+]{0,500}", re.ASCII)
"""What all texts are but those below: names and numbers, which may become a part of code."""
_TEXTS = {
    "as_string": re.compile(r"[\w .,:'<>=-]{0,500}", re.ASCII),
    "in_spec": re.compile(r'[\w .,:"\[\]{}]{0,5000}', re.ASCII),
    "out_spec": re.compile(r'[\w .,:"\[\]{}]{0,5000}', re.ASCII),
}
_SYMBOL = re.compile(r"Symbol\('[su]\d{1,4}'(, (positive|integer)=True){0,2}\)|Integer\(\d{1,12}\)")
_COMBINED = re.compile(r"(Mul|Add|GreaterThan|LessThan|Equality|[(), ]){0,500}")
_ATEN = """
__and__.Tensor __or__.Tensor _assert_scalar.default _assert_tensor_metadata.default abs.default
adaptive_avg_pool2d.default add.Tensor add_.Tensor all.dim amax.default arange.default
argmax.default avg_pool2d.default batch_norm.default bitwise_and.Tensor bitwise_or.Scalar
bitwise_or.Tensor cat.default channel_shuffle.default chunk.default clamp.default clone.default
constant_pad_nd.default contiguous.default conv2d.default conv2d.padding cumsum.default
detach_.default div.Tensor dropout.default eq.Tensor exp.default expand.default
expand_as.default flatten.using_ints floor_divide.default full_like.default gather.default
ge.Scalar ge.Tensor gelu.default gt.Scalar gt.Tensor hardsigmoid.default hardswish.default
hardswish_.default hardtanh.default hardtanh_.default index.Tensor index_fill.int_Scalar
isfinite.default layer_norm.default le.Scalar lift_fresh_copy.default linear.default
matmul.default max.dim max_pool2d.default mean.dim mul.Tensor narrow.default new_zeros.default
nonzero.default ones_like.default pad.default permute.default promote_types.default relu.default
relu_.default remainder.Scalar reshape.default scatter.src select.int sigmoid.default
silu.default silu_.default slice.Tensor softmax.int sort.default sort.stable split.Tensor
squeeze.dim stack.default sub.Tensor sum.dim_IntList sym_size.int to.dtype topk.default
transpose.int unflatten.int unsqueeze.default upsample_bilinear2d.vec view.default
view_as.default where.ScalarOther zeros.default zeros_like.default
"""
OPERATORS = frozenset(
    {"_operator.ge", "_operator.le", "_operator.mul", "_operator.add", "torchvision.nms.default"}
    | {f"aten.{name}" for name in _ATEN.split()}
)
"""What a graph may compute."""


class UnsafeProgramError(Exception):
    """A file that asks for more than our own do; the message says for what."""


def check_archive(content: bytes) -> bytes:
    """Refuses a file whose reading would do more than set up a network.

    Args:
        content: Of the .pt2 file.

    Returns:
        The records that were checked in an archive of their own, which torch is to read: out of
        one file two readers of zip archives may get different records.

    Raises:
        UnsafeProgramError: It holds other records than ours, pickles, or a graph of other
            operations than those of our networks.
        Exception: Of any kind, where the bytes are no whole archive.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = _records(archive, len(content))
        if missing := _EXPECTED - records.keys():
            raise UnsafeProgramError(f"it lacks {min(missing)}")
        if _EXAMPLES in records and records[_EXAMPLES].file_size:
            raise UnsafeProgramError("it has example inputs, which are a pickle")
        for name in _CONFIGS:
            _check_payload(json.loads(archive.read(records[name])), len(content))
        graph = json.loads(archive.read(records[_GRAPH]))
        checked = _write(archive, records)
    if graph["guards_code"]:
        raise UnsafeProgramError("its graph has guards, which are code")
    for key, text in _texts(graph):
        _check_text(key, text)
    return checked


def _write(archive: zipfile.ZipFile, records: Mapping[str, zipfile.ZipInfo]) -> bytes:
    """An archive of some records, as they are read here."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as new:
        for name, record in records.items():
            new.writestr(f"network/{name}", archive.read(record))
    return content.getvalue()


def _records(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The records by their name below the one folder."""
    records: dict[str, zipfile.ZipInfo] = {}
    for record in archive.infolist():
        name = record.filename.partition("/")[2]
        known = name in _EXPECTED or name in _OTHERS or _PAYLOAD.fullmatch(name)
        if not known or name in records or record.filename != record.orig_filename:
            raise UnsafeProgramError(f"it has a record {record.filename[:80]!r}")
        if record.compress_type != zipfile.ZIP_STORED or record.file_size != record.compress_size:
            raise UnsafeProgramError("it has compressed records, which torch does not write")
        records[name] = record
    if sum(record.file_size for record in records.values()) > size:
        raise UnsafeProgramError("its records overlap")
    if any(records[name].file_size > MAX_GRAPH for name in _EXPECTED & records.keys()):
        raise UnsafeProgramError(f"its graph has more than {MAX_GRAPH} bytes")
    return records


def _check_payload(config: Mapping[str, Any], size: int) -> None:
    """Refuses tensors that are pickled, or of more elements than the file has bytes."""
    for name, entry in config["config"].items():
        if entry["use_pickle"] is not False or not _PLAIN.fullmatch(name):
            raise UnsafeProgramError("it has a pickled tensor")
        if not _PAYLOAD.fullmatch(f"data/weights/{entry['path_name']}") and not _PAYLOAD.fullmatch(
            f"data/constants/{entry['path_name']}"
        ):
            raise UnsafeProgramError("it has a constant that is no tensor")
        if math.prod(int(side["as_int"]) for side in entry["tensor_meta"]["sizes"]) > size:
            raise UnsafeProgramError("it has a tensor of more elements than are in the file")


def _texts(graph: Any) -> Iterator[tuple[str, str]]:
    """All texts in a document with the key they stand under, and all keys as texts."""
    waiting: list[tuple[str, Any]] = [("", graph)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, list):
            waiting.extend((key, each) for each in value)
        elif isinstance(value, dict):
            waiting.extend(value.items())
            yield from (("", name) for name in value)


def _check_text(key: str, text: str) -> None:
    if key == "target" and text.removeprefix("torch.ops.") not in OPERATORS:
        raise UnsafeProgramError(f"its graph calls {text[:80]!r}")
    if key == "expr_str":
        allowed = _COMBINED.fullmatch(_SYMBOL.sub("", text))
    else:
        allowed = _TEXTS.get(key, _PLAIN).fullmatch(text)
    if not allowed:
        raise UnsafeProgramError(f"its graph has the text {text[:80]!r}")
