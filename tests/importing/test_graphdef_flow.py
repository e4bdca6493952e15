from mnv2_dense.importing.graphdef import graph_from_message
from mnv2_dense.importing.graphdef_flow import is_name
from tests.importing.small_graphs import refusal, small


def test_nodes_come_in_data_flow_order_with_the_outputs_that_are_read() -> None:
    builder = small()
    builder.node("Pack", "z", ["y", "y:2"])
    builder.node("Unpack", "y", ["x"])
    first, second = graph_from_message(builder.message, "a").nodes
    assert (first.name, first.outputs) == ("y", ("y", "y:2"))
    assert second.inputs == ("y", "y:2")
    assert graph_from_message(builder.message, "a").outputs == ("z",)


def test_loops_of_tensorflow_1_are_read_and_other_circles_refused() -> None:
    builder = small()
    builder.node("Merge", "merge", ["x", "next"])
    builder.node("NextIteration", "next", ["switch:1"])
    builder.node("Switch", "switch", ["merge", "x"])
    names = [node.name for node in graph_from_message(builder.message, "a").nodes]
    assert names == ["merge", "switch", "next"]
    builder = small()
    builder.node("Add", "a", ["x", "b"])
    builder.node("Relu", "b", ["a"])
    assert "circle" in refusal(builder)


def test_endless_names_are_none() -> None:
    assert is_name("n" * 20_000)
    assert not is_name("n" * 20_001)
