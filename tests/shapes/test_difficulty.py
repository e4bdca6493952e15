from mnv2_dense.shapes.difficulty import Difficulty


def test_ranges_are_ordered() -> None:
    for name, value in Difficulty()._asdict().items():
        if isinstance(value, tuple):
            assert value[0] <= value[1], name


def test_defaults_keep_what_the_set_promises() -> None:
    """Tuning must not lose small and large objects, occlusion, empty pictures or crowds."""
    rules = Difficulty()
    assert rules.smallest_extent <= 14
    assert rules.largest_extent >= 0.6
    assert rules.least_visible < 0.8
    assert rules.objects_per_image[1] >= 3
    assert 0 < rules.empty < 0.2
    assert 0 < rules.crowd < 0.2
