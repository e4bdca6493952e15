import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.caching.manifest import TABLE
from mnv2_dense.caching.preparing import Item, Prepared, prepare_pictures
from mnv2_dense.caching.sizing import Sizing
from mnv2_dense.caching.table import Table
from mnv2_dense.errors import UserError
from mnv2_dense.images import read_image
from mnv2_dense.structures import ImageSize
from tests.commands.tiny import tree

HALF = Sizing("longer", 20)
SIZE = ImageSize(30, 40)


def item(source: Path) -> Item:
    def read() -> tuple[np.ndarray, np.ndarray]:
        image = read_image(source)
        return image, image[..., 0] // 128

    return Item(f"images/{source.stem}", source.parent, (source,), read, f"masks/{source.stem}")


def draw(folder: Path, count: int) -> list[Path]:
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def prepare(
    sources: Sequence[Path], root: Path, *, workers: int = 1, skip_bad: bool = False
) -> Prepared:
    root.mkdir(exist_ok=True)
    table = Table(root, {"size": str(HALF)})
    prepared = prepare_pictures(
        [*map(item, sources)],
        root,
        table,
        sizing=HALF,
        quality=90,
        workers=workers,
        skip_bad=skip_bad,
    )
    table.write(prepared.entries.values())
    return prepared


def times(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (root / "images").iterdir()}


def test_a_picture_its_mask_and_its_original_mask_are_written(tmp_path: Path) -> None:
    (source,) = draw(tmp_path / "data", 1)
    (entry,) = prepare([source], tmp_path / "out").entries.values()
    assert list(entry.files) == ["images/0.jpg", "masks/0.png", "originals/masks/0.png"]
    assert (entry.size, entry.cached) == (SIZE, ImageSize(15, 20))
    out = tmp_path / "out"
    assert entry.files == {name: (out / name).stat().st_size for name in entry.files}
    labels = read_image(source)[..., 0] // 128
    with Image.open(out / "masks" / "0.png") as small:
        assert np.array_equal(np.asarray(small), labels[1::2, 1::2])
    with Image.open(out / "originals" / "masks" / "0.png") as original:
        assert np.array_equal(np.asarray(original), labels)


def test_several_workers_and_a_second_call_change_nothing(tmp_path: Path) -> None:
    sources, out = draw(tmp_path / "data", 40), tmp_path / "out"
    assert prepare(sources, out, workers=3).done_before == 0
    before, written = tree(out), times(out)
    assert prepare(sources, out).done_before == 40
    prepare(sources, tmp_path / "other")
    assert tree(out) == tree(tmp_path / "other") == before
    assert times(out) == written


def test_a_changed_source_is_done_again_and_others_are_not(tmp_path: Path) -> None:
    sources, out = draw(tmp_path / "data", 3), tmp_path / "out"
    prepare(sources, out)
    written = times(out)
    Image.new("RGB", (18, 10), (200, 0, 0)).save(sources[1])
    prepared = prepare(sources, out)
    assert prepared.done_before == 2
    assert prepared.entries["images/1"].size == ImageSize(10, 18)
    assert [name for name, time_ in times(out).items() if time_ != written[name]] == ["1.jpg"]
    # It was small enough, so its mask is the original, and no other is left.
    assert sorted(path.name for path in (out / "originals" / "masks").iterdir()) == [
        "0.png",
        "2.png",
    ]


def test_another_source_of_the_same_size_and_time_is_not_the_same(tmp_path: Path) -> None:
    folder, out = tmp_path / "data", tmp_path / "out"
    sources = [folder / name / "a.bmp" for name in ("first", "second")]
    for source, gray in zip(sources, (0, 200), strict=True):
        source.parent.mkdir(parents=True)
        Image.new("RGB", (40, 30), (gray, gray, gray)).save(source)
        os.utime(source, ns=(10**18, 10**18))
    out.mkdir()
    for source, gray in zip(sources, (0, 200), strict=True):
        wanted = item(source)._replace(root=folder)
        options = {"sizing": HALF, "quality": 90, "workers": 1, "skip_bad": False}
        prepared = prepare_pictures([wanted], out, Table(out, {}), **options)
        assert prepared.done_before == 0
        assert np.unique(read_image(out / "images" / "a.jpg")).tolist() == [gray]


def test_files_of_the_source_before_are_removed_also_where_it_is_stopped(tmp_path: Path) -> None:
    sources, out = draw(tmp_path / "data", 2), tmp_path / "out"
    prepare(sources, out)
    whole = sources[1].read_bytes()
    # It is small enough now, so its original mask goes.
    Image.new("RGB", (18, 10), (200, 0, 0)).save(sources[0])
    sources[1].write_bytes(whole[:60])
    with pytest.raises(UserError, match=r"1\.png"):
        prepare(sources, out)
    sources[1].write_bytes(whole)
    prepare(sources, out)
    prepare(sources, tmp_path / "other")
    assert tree(out) == tree(tmp_path / "other")


def test_what_was_lost_or_cut_is_done_again(tmp_path: Path) -> None:
    sources, out = draw(tmp_path / "data", 3), tmp_path / "out"
    prepare(sources, out)
    before = tree(out)
    (out / "images" / "0.jpg").unlink()
    (out / "masks" / "2.png").write_bytes(b"")
    assert prepare(sources, out).done_before == 1
    assert tree(out) == before


def test_copies_of_pictures_that_are_gone_are_removed(tmp_path: Path) -> None:
    sources, out = draw(tmp_path / "data", 3), tmp_path / "out"
    prepare(sources, out)
    prepare(sources[:1], out)
    prepare(sources[:1], tmp_path / "other")
    assert tree(out) == tree(tmp_path / "other")


def test_a_bad_picture_stops_or_is_left_out(tmp_path: Path) -> None:
    sources, out = draw(tmp_path / "data", 3), tmp_path / "out"
    sources[1].write_bytes(sources[1].read_bytes()[:60])
    with pytest.raises(UserError, match=r"1\.png"):
        prepare(sources, out)
    prepared = prepare(sources, out, skip_bad=True)
    assert prepared.done_before >= 1
    assert list(prepared.entries) == ["images/0", "images/2"]
    (problem,) = prepared.bad
    assert "1.png" in problem


CHILD = """
import sys, time
from pathlib import Path
from mnv2_dense.caching import preparing
from tests.caching.test_preparing import prepare

write = preparing.write_file

def slowly(path, content):
    time.sleep(0.01)
    write(path, content)

preparing.write_file = slowly
prepare(sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2]), workers=2)
"""


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    sources, out = draw(tmp_path / "data", 60), tmp_path / "out"
    command = [sys.executable, "-c", CHILD, str(tmp_path / "data"), str(out)]
    child = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    end = time.monotonic() + 120
    while not (out / TABLE).exists() or (out / TABLE).read_text().count("\n") < 20:
        assert child.poll() is None
        assert time.monotonic() < end
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    done = [line.split('"')[3] for line in (out / TABLE).read_text().splitlines()[1:]]
    assert 19 <= len(done) < 60
    written = times(out)
    # A line may be the last one, and not whole.
    assert prepare(sources, out).done_before >= len(done) - 1
    again = {name for name, time_ in times(out).items() if time_ != written.get(name)}
    assert not again & {f"{Path(place).name}.jpg" for place in done[:-1]}
    prepare(sources, tmp_path / "other")
    assert tree(out) == tree(tmp_path / "other")
