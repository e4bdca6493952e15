import numpy as np

from mnv2_dense.inspection.histograms import class_histogram, histogram, picture_sizes
from mnv2_dense.structures import ImageSize


def test_an_edge_belongs_to_the_bin_above() -> None:
    found = histogram("sizes", (1.0, 2.0, 3.0), {"train": [0, 1, 1.9, 2, 3, 9], "val": []})
    assert found.labels == ["< 1", "1 - 2", "2 - 3", ">= 3"]
    assert found.counts == {"train": [1, 2, 1, 2], "val": [0, 0, 0, 0]}


def test_every_value_is_counted_once() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    assert sum(histogram("x", (-1.0, 0.0, 1.0), {"train": values}).counts["train"]) == 1000


def test_classes_of_either_split_have_a_row() -> None:
    found = class_histogram("classes", {"train": {"a": 1, "b": 2}, "val": {"b": 3, "c": 4}})
    assert found.labels == ["a", "b", "c"]
    assert found.counts == {"train": [1, 2, 0], "val": [0, 3, 4]}


def test_pictures_count_by_their_longer_side() -> None:
    found = picture_sizes({"train": [ImageSize(640, 10), ImageSize(10, 639)]})
    assert found.counts["train"][found.labels.index("640 - 960")] == 1
    assert found.counts["train"][found.labels.index("480 - 640")] == 1
