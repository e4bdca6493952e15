import weakref
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mnv2_dense.ops.resize import resize_map
from mnv2_dense.segmentation import inference
from mnv2_dense.segmentation.decode import Decoder
from mnv2_dense.segmentation.inference import Inference
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.segmentation.strips import Strip, assemble
from mnv2_dense.structures import ImageSize

CLASSES = 4
PAPER_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


class Network:
    """A stand-in: one convolution, which remembers the sizes of what it was given."""

    def __init__(self, kernel: int = 1, classes: int = CLASSES, stride: int = 1) -> None:
        torch.manual_seed(kernel)
        self.convolution = nn.Conv2d(3, classes, kernel, stride, padding=kernel // 2)
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, images: Tensor) -> SegmenterOutputs:
        self.seen.append(tuple(images.shape))
        return SegmenterOutputs(self.convolution(images), None)


class Coarse(Network):
    """Cheap at any size: one logit per class and tile of 32 pixels."""

    def __call__(self, images: Tensor) -> SegmenterOutputs:
        self.seen.append(tuple(images.shape))
        return SegmenterOutputs(self.convolution(F.avg_pool2d(images, 32, ceil_mode=True)), None)


def random_pictures(*sizes: tuple[int, int], seed: int = 0) -> tuple[Tensor, list[ImageSize]]:
    """A batch on a canvas with a margin; NaN beyond the pictures, which nobody may look at."""
    generator = torch.Generator().manual_seed(seed)
    canvas = [max(size[axis] for size in sizes) + 3 for axis in (0, 1)]
    images = torch.full((len(sizes), 3, *canvas), float("nan"))
    for image, (height, width) in zip(images, sizes, strict=True):
        image[:, :height, :width] = torch.randn(3, height, width, generator=generator)
    return images, [ImageSize(*size) for size in sizes]


def whole(strips: Sequence[Strip], sizes: Sequence[ImageSize]) -> list[Tensor]:
    """The probabilities of every picture; fails unless the strips are in order and complete."""
    parts: list[list[Tensor]] = [[] for _ in sizes]
    places: list[int] = [0] * len(sizes)
    for strip in strips:
        position, top, left, probabilities = (
            *(strip.position, strip.top, strip.left),
            strip.probabilities(),
        )
        height, width = sizes[position]
        assert strip.size == probabilities.shape[1:]
        # Labels that are not computed from probabilities are what these say, up to rounding.
        of_labels = probabilities.gather(0, strip.labels()[None].long())
        assert (of_labels >= probabilities.amax(dim=0) - 1e-5).all()
        along = 1 if probabilities.shape[2] == width else 2
        assert probabilities.shape[3 - along] == (width if along == 1 else height)
        assert (top, left) == ((places[position], 0) if along == 1 else (0, places[position]))
        assert probabilities.shape[along] > 0
        places[position] += probabilities.shape[along]
        # As a consumer that keeps a strip must be able to: later ones may not write into it.
        parts[position].append(probabilities)
    along_rows = [part[0].shape[2] == size.width for part, size in zip(parts, sizes, strict=True)]
    pictures = [
        torch.cat(part, dim=1 if rows else 2) for part, rows in zip(parts, along_rows, strict=True)
    ]
    assert [picture.shape[1:] for picture in pictures] == [torch.Size(size) for size in sizes]
    for picture in pictures:
        assert torch.allclose(picture.sum(dim=0), torch.ones(1), atol=1e-5)
    return pictures


def run(network: Any, images: Tensor, sizes: Sequence[ImageSize], **kwargs: Any) -> list[Tensor]:
    kwargs.setdefault("window", ImageSize(17, 17))
    protocol = Inference(Decoder(), **kwargs)
    return whole(list(protocol(network, images, sizes)), sizes)


def direct(network: Network, image: Tensor, size: ImageSize) -> Tensor:
    """What a network that sees every pixel alone says of the picture as one piece."""
    return Decoder()(network(image[None, :, : size.height, : size.width]), size)[0]


SIDES = st.integers(1, 35)


@settings(max_examples=50)
@given(
    sizes=st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=3),
    window=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    flip=st.booleans(),
    scales=st.sampled_from([(1.0,), (1.0, 2.0), (2.0, 3.0)]),
    strip=st.sampled_from([1, 100, 2**24]),
)
def test_a_pixelwise_network_does_not_notice_the_windows(
    sizes: list[tuple[int, int]],
    window: tuple[int, int],
    overlap: float,
    flip: bool,
    scales: tuple[float, ...],
    strip: int,
) -> None:
    # Whole multiples keep every pixel, so that going there and back is exact.
    images, picture_sizes = random_pictures(*sizes)
    network = Network()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "_STRIP_VALUES", strip)
        found = run(
            network,
            images,
            picture_sizes,
            window=ImageSize(*window),
            overlap=overlap,
            flip=flip,
            scales=scales,
        )
    for probabilities, image, size in zip(found, images, picture_sizes, strict=True):
        assert torch.allclose(probabilities, direct(network, image, size), atol=1e-5)


def test_pictures_that_fit_are_padded_and_run_as_one_batch() -> None:
    images, sizes = random_pictures((17, 9), (5, 17), (1, 1))
    network = Network(kernel=5)
    strips = list(Inference(Decoder(), window=ImageSize(17, 17))(network, images, sizes))
    assert network.seen == [(3, 3, 17, 17)]
    assert [(strip.position, strip.top) for strip in strips] == [(0, 0), (1, 0), (2, 0)]
    padded = torch.zeros(3, 3, 17, 17)
    for row, image, size in zip(padded, images, sizes, strict=True):
        row[:, : size.height, : size.width] = image[:, : size.height, : size.width]
    by_hand = Decoder()(network(padded), ImageSize(17, 17))
    for strip, probabilities, size in zip(strips, by_hand, sizes, strict=True):
        expected = probabilities[:, : size.height, : size.width]
        assert torch.allclose(strip.probabilities(), expected, atol=1e-6)


def test_windows_by_hand() -> None:
    """A picture of 1 x 6 under windows of 1 x 4 that share half: columns 0-3 and 2-5."""
    images, sizes = random_pictures((1, 6))
    network = Network(kernel=3)
    (found,) = run(network, images, sizes, window=ImageSize(1, 4), overlap=0.5)
    left, right = (
        Decoder()(network(images[..., :1, first : first + 4]), ImageSize(1, 4))[0]
        for first in (0, 2)
    )
    by_hand = torch.cat(
        [left[..., :2], (left[..., 2:] + right[..., :2]) / 2, right[..., 2:]], dim=2
    )
    assert torch.allclose(found, by_hand)


@settings(max_examples=100)
@given(
    length=st.integers(1, 400),
    window=st.integers(1, 60),
    overlap=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.95]),
)
def test_windows_overlap_enough_and_end_with_the_picture(
    length: int, window: int, overlap: float
) -> None:
    starts = inference._starts(length, window, overlap)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - window)
    steps = [following - start for start, following in pairwise(starts)]
    assert all(step > 0 for step in steps)
    # One pixel of progress is the least there can be.
    assert all(window - step >= overlap * window or step == 1 for step in steps)


@pytest.mark.parametrize("large_pictures", ["window", "shrink"])
def test_a_batch_equals_its_singles(large_pictures: str) -> None:
    images, sizes = random_pictures((17, 17), (40, 9), (3, 50), (30, 30), (1, 1))
    options: dict[str, Any] = {"flip": True, "scales": (0.5, 1.0), "large_pictures": large_pictures}
    network = Network(kernel=5)
    together = run(network, images, sizes, **options)
    for position in range(len(sizes)):
        one = slice(position, position + 1)
        (alone,) = run(network, images[one], sizes[one], **options)
        assert torch.allclose(together[position], alone, atol=1e-6)


def test_the_network_never_gets_more_images_than_the_batch_has() -> None:
    network = Network()
    images, sizes = random_pictures((40, 90), (5, 5))
    run(network, images, sizes)
    assert {shape[2:] for shape in network.seen} == {(17, 17)}
    assert max(shape[0] for shape in network.seen) == 2


def test_the_sizes_of_the_papers_scales() -> None:
    network = Coarse()
    images, sizes = random_pictures((375, 500))
    run(network, images, sizes, window=ImageSize(513, 513), scales=PAPER_SCALES, flip=True)
    sides = [257, 385, 513, 641, 769, 897]
    assert network.seen == [(1, 3, side, side) for side in sides for _ in range(2)]


def test_scales_and_flips_by_hand() -> None:
    images, sizes = random_pictures((13, 11))
    network = Network(kernel=3)
    (found,) = run(network, images, sizes, window=ImageSize(17, 13), scales=(0.5, 1.0), flip=True)
    padded = F.pad(images[:, :, :13, :11], (0, 2, 0, 4))
    views = []
    for picture in (padded, resize_map(padded, ImageSize(9, 7), True)):
        views.append(Decoder()(network(picture), ImageSize(17, 13)))
        views.append(Decoder()(network(picture.flip(3)), ImageSize(17, 13)).flip(3))
    by_hand = (views[0] + views[1] + views[2] + views[3]) / 4
    assert torch.allclose(found, by_hand[0, :, :13, :11], atol=1e-6)


def test_the_flip_is_undone() -> None:
    images, sizes = random_pictures((17, 17))
    network = Network(kernel=5)
    (found,) = run(network, images[..., :17, :17], sizes, flip=True)
    (mirrored,) = run(network, images[..., :17, :17].flip(3), sizes, flip=True)
    assert torch.allclose(found, mirrored.flip(2), atol=1e-6)
    (once,) = run(network, images[..., :17, :17], sizes)
    assert not torch.allclose(found, once, atol=1e-3)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(60, 20), (20, 60), (18, 17), (400, 3), (1, 500)])
def test_shrinking_keeps_the_aspect_and_gives_the_original_size(
    size: tuple[int, int], align_corners: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "_STRIP_VALUES", 7 * CLASSES * size[1])
    images, sizes = random_pictures(size)
    network = Network(kernel=3)
    window = ImageSize(17, 17)
    protocol = Inference(
        Decoder(align_corners=align_corners),
        window=window,
        large_pictures="shrink",
        align_corners=align_corners,
    )
    strips = list(protocol(network, images, sizes))
    assert network.seen == [(1, 3, 17, 17)]
    assert len(strips) == -(-size[0] // 7)
    height, width = (max(1, round(side * 17 / max(size))) for side in size)
    picture = images[..., : size[0], : size[1]]
    small = F.interpolate(picture, (height, width), mode="bilinear", antialias=True)
    padded = F.pad(small, (0, 17 - width, 0, 17 - height))
    seen = Decoder(align_corners=align_corners)(network(padded), window)
    by_hand = resize_map(seen[..., :height, :width], sizes[0], align_corners=False)[0]
    assert torch.allclose(whole(strips, sizes)[0], by_hand, atol=1e-5)


def test_shrinking_leaves_pictures_that_fit_as_they_are() -> None:
    images, sizes = random_pictures((17, 12), (100, 100))
    network = Network(kernel=3)
    (fitting, _) = run(network, images, sizes, large_pictures="shrink")
    assert len(network.seen) == 1
    assert network.seen[0][0] == 2
    assert torch.allclose(fitting, run(network, images[:1], sizes[:1])[0], atol=1e-6)


class Memory(TorchDispatchMode):
    """Adds up the bytes of all tensors that operations made and that are still held.

    peak: The most there were at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {
            id(each.untyped_storage()) for each in tree_leaves(args) if isinstance(each, Tensor)
        }
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                if id(storage) not in self.held and id(storage) not in given:
                    self.held[id(storage)] = storage.nbytes()
                    weakref.finalize(storage, self.held.pop, id(storage))
        self.peak = max(self.peak, sum(self.held.values()))
        return result


def peak_bytes(
    stride: int, pictures: int, size: tuple[int, int], **options: Any
) -> tuple[int, list[Tensor]]:
    """The most that is held around a network that makes nothing but its logits, and label maps."""
    classes, sizes = 21, [ImageSize(*size)] * pictures
    images = torch.ones(1, 3, 1, 1).expand(pictures, 3, *size)

    def see(pictures: Tensor) -> SegmenterOutputs:
        cells = [-(-side // stride) for side in pictures.shape[2:]]
        return SegmenterOutputs(torch.ones(len(pictures), classes, *cells))

    with Memory() as memory:
        label_maps = assemble(Inference(Decoder(), **options)(see, images, sizes), sizes)
    return memory.peak, label_maps


@pytest.mark.parametrize(
    ("scales", "flip", "pictures"),
    [((1.0,), False, 4), (PAPER_SCALES, True, 1), (PAPER_SCALES, True, 3)],
)
def test_no_scale_flip_or_picture_holds_probabilities_of_its_own(
    scales: tuple[float, ...], flip: bool, pictures: int
) -> None:
    """At output stride 8, as the paper evaluates: the network's inputs, its logits, and strips."""
    options: dict[str, Any] = {"window": ImageSize(513, 513), "scales": scales, "flip": flip}
    peak, label_maps = peak_bytes(8, pictures, (513, 513), **options)
    assert [label_map.shape for label_map in label_maps] == [(513, 513)] * pictures
    sides = [int(512 * scale + 1) for scale in scales]
    inputs = 3 * (513**2 + (1 + flip) * max(sides) ** 2)
    logits = 21 * (1 + flip) * sum((-(-side // 8)) ** 2 for side in sides)
    assert peak <= 4 * (pictures * (inputs + logits) + 3 * inference._STRIP_VALUES)
    # Probabilities in pixels of all of them would be as much again.
    assert logits < 21 * 513**2 / 3


class LargestTensor(TorchDispatchMode):
    """Remembers the bytes of the largest tensor that any operation gives."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self.bytes = max(self.bytes, value.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("large_pictures", ["window", "shrink"])
@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1), (300, 9000), (3000, 3000)])
def test_memory_is_bounded_by_a_band_of_windows(
    size: tuple[int, int],
    large_pictures: Literal["window", "shrink"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    side, classes, strip = 257, 8, 2**20
    monkeypatch.setattr(inference, "_STRIP_VALUES", strip)
    protocol = Inference(
        Decoder(), window=ImageSize(side, side), large_pictures=large_pictures, overlap=0.1
    )
    # One row, repeated by a view: the picture itself takes no memory that would blur the count.
    images, sizes = torch.ones(1, 3, 1, 1).expand(1, 3, *size), [ImageSize(*size)]
    with LargestTensor() as largest:
        (label_map,) = assemble(protocol(Coarse(classes=classes), images, sizes), sizes)
    assert label_map.shape == size
    assert (label_map < classes).all()
    band = 4 * classes * side * min(size)  # across the longer side
    window = 4 * classes * side**2
    assert largest.bytes <= max(band, window, 4 * strip, label_map.numel())
    # Which is far from holding the probabilities of every pixel.
    if size == (3000, 3000):
        assert largest.bytes < 4 * classes * label_map.numel() / 10


def test_strips_come_before_the_picture_is_done() -> None:
    network = Network()
    images, sizes = random_pictures((100, 17))
    strips: Iterator[Strip] = Inference(Decoder(), window=ImageSize(17, 17))(network, images, sizes)
    first = next(strips)
    assert first.top == 0
    assert len(network.seen) == 1
    kept = first.probabilities().clone()
    list(strips)
    assert len(network.seen) == len(inference._starts(100, 17, 0.25))
    assert torch.equal(first.probabilities(), kept)


def test_no_gradient_is_kept_and_nothing_is_changed() -> None:
    network = Network()

    def without_gradient(pictures: Tensor) -> SegmenterOutputs:
        assert not torch.is_grad_enabled()
        return network(pictures)

    images, sizes = random_pictures((30, 8), (8, 8))
    before = images.clone()
    for scales in ((1.0,), (0.5, 1.0)):
        for probabilities in run(without_gradient, images, sizes, scales=scales, flip=True):
            assert not probabilities.requires_grad
            assert probabilities.dtype == torch.float32
    assert torch.equal(images.nan_to_num(), before.nan_to_num())


def test_inference_mode_and_channels_last() -> None:
    images, sizes = random_pictures((30, 20), (8, 8))
    network = Network(kernel=3)
    expected = run(network, images, sizes)
    with torch.inference_mode():
        found = run(network, images.contiguous(memory_format=torch.channels_last), sizes)
    for one, other in zip(expected, found, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_an_empty_batch() -> None:
    assert run(Network(), torch.zeros(0, 3, 5, 5), []) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, "at least one"),
        ({"scales": (1.0, 0.0)}, "above 0"),
        ({"overlap": 1.0}, "below 1"),
        ({"overlap": -0.1}, "from 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Inference(Decoder(), window=ImageSize(9, 9), **options)


@pytest.mark.parametrize("edge", [40, 500, 960])
def test_shrinking_moves_nothing(edge: int) -> None:
    picture = torch.full((1, 3, 30, 1000), -5.0)
    picture[..., edge:] = 5.0
    protocol = Inference(Decoder(), window=ImageSize(101, 101), large_pictures="shrink")

    def see(images: torch.Tensor) -> SegmenterOutputs:
        return SegmenterOutputs(torch.cat([-images[:, :1], images[:, :1]], dim=1))

    (label_map,) = assemble(protocol(see, picture, [ImageSize(30, 1000)]), [ImageSize(30, 1000)])
    assert abs(int((label_map[15] == 0).sum()) - edge) <= 1


def test_a_wide_picture_is_seen_upright() -> None:
    columns = torch.arange(1.0, 61.0).expand(1, 3, 12, 60)
    seen: list[Tensor] = []

    def see(images: Tensor) -> SegmenterOutputs:
        seen.append(images)
        return SegmenterOutputs(images[:, :2])

    strips = list(Inference(Decoder(), window=ImageSize(9, 17))(see, columns, [ImageSize(12, 60)]))
    assert len(whole(strips, [ImageSize(12, 60)])) == 1
    assert [strip.left for strip in strips] == sorted(strip.left for strip in strips)
    for images in seen:
        assert images.shape[-2:] == (9, 17)
        assert (images[..., 1:] - images[..., :-1] == 1).all()  # to the right, as in the picture
        assert (images[..., 1:, :] == images[..., :-1, :]).all()
