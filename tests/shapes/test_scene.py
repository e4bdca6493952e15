import numpy as np

from mnv2_dense.shapes.difficulty import Difficulty
from mnv2_dense.shapes.scene import draw_scene

ALWAYS = Difficulty(empty=0.0, crowd=1.0, objects_per_image=(4, 6))


def test_same_seed_same_scene_and_other_seed_other_scene() -> None:
    first, again = draw_scene((3, 0, 5), 96), draw_scene((3, 0, 5), 96)
    other = draw_scene((3, 1, 5), 96)
    assert (first.picture == again.picture).all()
    assert (first.instances == again.instances).all()
    assert first.objects == again.objects
    assert (first.picture != other.picture).any()


def test_instances_name_every_object_and_nothing_else() -> None:
    for index in range(20):
        scene = draw_scene((0, 0, index), 128, ALWAYS)
        assert scene.picture.shape == (128, 128, 3)
        assert set(np.unique(scene.instances)) - {0} == set(range(1, len(scene.objects) + 1))
        assert all(scene.mask(k).sum() >= 30 for k in range(len(scene.objects)))


def test_empty_scene_shows_no_object() -> None:
    scene = draw_scene((0, 0, 0), 96, Difficulty(empty=1.0))
    assert scene.objects == ()
    assert not scene.instances.any()
    assert scene.picture.std() > 5


def test_crowd_comes_when_asked_for() -> None:
    assert draw_scene((0, 0, 0), 128, ALWAYS).objects[0].crowd
    calm = draw_scene((0, 0, 0), 128, ALWAYS._replace(crowd=0.0))
    assert not any(item.crowd for item in calm.objects)


def test_an_object_stands_out_from_what_lies_around_it() -> None:
    """The mask and the picture agree: without texture, light and noise a pixel tells."""
    plain = Difficulty(
        objects_per_image=(1, 1), empty=0.0, crowd=0.0, patches=(0, 0), clutter=(0, 0),
        background_strength=0.0, texture_strength=0.0, lighting=0.0, blur=0.0, noise=0.0,
        truncated=0.0, smallest_extent=30.0,
    )  # fmt: skip
    for index in range(10):
        scene = draw_scene((0, 0, index), 128, plain)
        corner = scene.picture[~scene.mask(0)].astype(int)
        background = np.median(corner, axis=0)
        differs = np.abs(scene.picture.astype(int) - background).sum(axis=2) > 60
        wrong = (differs != scene.mask(0)).sum()
        assert wrong < 0.25 * scene.mask(0).sum()
