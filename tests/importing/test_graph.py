import numpy as np
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import Graph, GraphInput, Node, check_complete

NODE = Node("mul", "scaled", ("x", "factor"), ("scaled",), {})
FACTOR = np.ones((2, 3), np.float32)


def graph_of(**constants: np.ndarray) -> Graph:
    return Graph("here.pb", [NODE], constants, {"x": GraphInput(None)}, ("scaled",))


def test_a_complete_graph_passes() -> None:
    check_complete(graph_of(factor=FACTOR))


def test_what_is_read_and_not_there_is_named() -> None:
    with pytest.raises(
        UserError, match=r"here\.pb: factor is not in the file, but scaled reads it"
    ):
        check_complete(graph_of())


def test_weights_that_nothing_reads_are_named() -> None:
    with pytest.raises(UserError, match=r"here.pb: more \(2x3\) is left over"):
        check_complete(graph_of(factor=FACTOR, more=FACTOR))


@pytest.mark.parametrize("value", [np.arange(9), np.float32(3), np.array([b"text"], object)])
def test_settings_that_nothing_reads_do_no_harm(value: np.ndarray) -> None:
    check_complete(graph_of(factor=FACTOR, more=np.asarray(value)))


def test_results_may_be_constants() -> None:
    check_complete(graph_of(factor=FACTOR, more=FACTOR)._replace(outputs=("scaled", "more")))


def test_more_than_is_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node("add", "n", ("x", "x"), ("n",), {})
    graph = Graph("here.pb", [node] * 3, {}, {"x": GraphInput(None)}, ())
    check_complete(graph)
    monkeypatch.setattr("mnv2_dense.importing.graph.MAX_READS", 5)
    with pytest.raises(UserError, match="too large: 3 operations that read 6 tensors"):
        check_complete(graph)
