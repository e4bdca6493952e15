import numpy as np
import pytest

from mnv2_dense.importing.constants import Constant, NormPart, decimal, fold
from mnv2_dense.importing.graph import Node

GAMMA, BETA, MEAN, VARIANCE = np.arange(1, 13, dtype=np.float32).reshape(4, 3)
EPSILON = np.float32(0.001)


def constant(name: str, value: np.ndarray | np.float32) -> Constant:
    return Constant(np.asarray(value), frozenset([name]))


def do(op: str, *inputs: Constant | None) -> Constant:
    given = [each for each in inputs if each is not None]
    made = fold(Node(op, op, (), (op,), {}), given)
    assert made is not None
    return made


def stage(made: Constant) -> str | None:
    return None if made.part is None else made.part.stage


gamma, beta = constant("gamma", GAMMA), constant("beta", BETA)
mean, variance = constant("mean", MEAN), constant("variance", VARIANCE)
epsilon = constant("epsilon", EPSILON)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_an_unfused_norm_is_put_together(swapped: bool, scaled: bool) -> None:
    def mul(first: Constant, second: Constant) -> Constant:
        return do("mul", second, first) if swapped else do("mul", first, second)

    total = do("add", epsilon, variance) if swapped else do("add", variance, epsilon)
    root = do("rsqrt", total)
    factor = mul(root, gamma) if scaled else root
    offset = do("sub", beta, mul(mean, factor))
    assert [stage(each) for each in (total, root, offset)] == ["sum", "root", "offset"]
    assert offset.part is not None
    norm = offset.part.norm
    wanted_gamma = GAMMA if scaled else np.ones(3)
    for found, wanted in (
        (norm.gamma, wanted_gamma),
        (norm.beta, BETA),
        (norm.mean, MEAN),
        (norm.variance, VARIANCE),
    ):
        np.testing.assert_array_equal(found, wanted)
    assert norm.epsilon == 0.001
    assert offset.names >= {"beta", "mean", "variance", "epsilon"}
    np.testing.assert_allclose(
        offset.value, BETA - MEAN * wanted_gamma / np.sqrt(VARIANCE + EPSILON), rtol=1e-6
    )


def test_identities_keep_the_part() -> None:
    root = do("identity", do("rsqrt", do("identity", do("add", variance, epsilon))))
    assert stage(root) == "root"


def test_other_computations_are_no_norm() -> None:
    root = do("rsqrt", do("add", variance, epsilon))
    shift = do("mul", mean, do("mul", root, gamma))
    assert stage(do("add", variance, beta)) is None
    assert stage(do("sub", shift, beta)) is None
    assert stage(do("mul", root, root)) is None
    assert stage(do("add", shift, beta)) is None
    assert stage(do("mul", gamma, beta)) is None
    assert stage(do("rsqrt", variance)) is None


def test_names_are_those_of_all_inputs() -> None:
    assert do("mul", gamma, do("add", beta, mean)).names == {"gamma", "beta", "mean"}


def test_what_cannot_be_computed_is_no_constant() -> None:
    assert fold(Node("tanh", "t", ("a",), ("t",), {}), [gamma]) is None
    assert fold(Node("add", "t", (), ("t",), {}), []) is None


def test_decimals_are_short() -> None:
    assert decimal(float(np.float32(0.001))) == 0.001
    assert decimal(float(np.float32(127.5))) == 127.5


def test_parts_are_told_apart() -> None:
    part = do("rsqrt", do("add", variance, epsilon)).part
    assert isinstance(part, NormPart)
    assert part.stage == "root"
