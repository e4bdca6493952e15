import numpy as np

from mnv2_dense.shapes.canvas import Canvas, SceneObject, Stencil
from mnv2_dense.shapes.difficulty import Difficulty
from mnv2_dense.shapes.outlines import SHAPE_CLASSES

SIZE = 32
OBJECT = SceneObject(SHAPE_CLASSES[0], crowd=False)
CROWD = SceneObject(SHAPE_CLASSES[0], crowd=True)


def empty_canvas() -> Canvas:
    return Canvas(np.zeros((SIZE, SIZE, 3), dtype=np.uint8), Difficulty(least_visible=0.3))


def block(left: int, top: int, width: int, height: int) -> Stencil:
    return Stencil(np.full((height, width), 255, dtype=np.uint8), left, top)


def place(canvas: Canvas, stencil: Stencil) -> bool:
    return canvas.place(np.random.default_rng(0), stencil, OBJECT)


def test_the_later_object_covers_the_earlier_one() -> None:
    canvas = empty_canvas()
    assert place(canvas, block(0, 0, 10, 10))
    assert place(canvas, block(5, 0, 10, 10))
    assert (canvas.instances == 1).sum() == 50
    assert (canvas.instances == 2).sum() == 100
    assert canvas.instances[0, 5] == 2


def test_an_object_that_would_hide_another_is_refused() -> None:
    canvas = empty_canvas()
    assert place(canvas, block(0, 0, 10, 10))
    before = canvas.picture.copy()
    assert not place(canvas, block(0, 0, 10, 8))
    assert place(canvas, block(0, 0, 10, 7))
    assert len(canvas.objects) == 2
    assert (canvas.picture[8:] == before[8:]).all()


def test_covering_adds_up_over_several_objects() -> None:
    canvas = empty_canvas()
    assert place(canvas, block(0, 0, 10, 10))
    assert place(canvas, block(0, 0, 10, 5))
    assert not place(canvas, block(0, 5, 10, 4))


def test_an_object_mostly_outside_is_refused() -> None:
    assert not place(empty_canvas(), block(-8, 0, 10, 10))
    assert not place(empty_canvas(), block(40, 40, 10, 10))
    assert not place(empty_canvas(), block(-40, -40, 10, 10))
    canvas = empty_canvas()
    assert place(canvas, block(-6, 0, 10, 10))
    assert (canvas.instances == 1).sum() == 40


def test_an_object_of_too_few_pixels_is_refused() -> None:
    assert not place(empty_canvas(), block(0, 0, 5, 5))


def test_a_half_covered_edge_pixel_is_blended_and_belongs_to_the_object() -> None:
    canvas = empty_canvas()
    stencil = block(0, 0, 10, 10)
    stencil.coverage[:, 9] = 128
    stencil.coverage[:, 0] = 127
    assert place(canvas, stencil)
    assert (canvas.instances[0, :10] == [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]).all()
    assert canvas.picture[0, 9].sum() > 0


def test_a_crowd_is_one_object_of_many_members() -> None:
    canvas = empty_canvas()
    members = [block(0, 0, 5, 5), block(20, 20, 5, 5), block(30, 30, 5, 5), block(40, 0, 5, 5)]
    canvas.place_crowd(np.random.default_rng(0), members, CROWD)
    assert canvas.objects == [CROWD]
    assert (canvas.instances == 1).sum() == 25 + 25 + 4
