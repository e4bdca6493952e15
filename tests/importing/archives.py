"""Frozen graphs as files and in archives."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Literal

from mnv2_dense.importing.graph import Graph
from tests.importing.small_graphs import conv_graph

CONTENT = conv_graph().message.SerializeToString()


def write_tar(path: Path, files: dict[str, bytes], mode: Literal["w", "w:gz"] = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def is_conv(graph: Graph, path: Path) -> bool:
    return graph.source == str(path) and [node.op for node in graph.nodes] == ["conv2d"]
