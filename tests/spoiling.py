"""Copies of the tiny data set that a test may spoil, and what is done to them."""

import io
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image

from tests.commands.tiny import (
    Outcome,
    logged,
    only_run,
    read_log,
    run_tool,
    train,
    train_segmenter,
)

Annotations = dict[str, Any]
TASKS = ["detection", "segmentation"]
SKIP = "data.on_bad_image=skip"
BAD_PICTURES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[: len(data) * 2 // 3],
    "empty": lambda _: b"",
    "text": lambda _: b"not a picture",
    "bomb": lambda _: big_picture(60000),
}


class Workplace(NamedTuple):
    """A copy of the tiny data set that a test may spoil, and the checkpoint of a tiny run."""

    folder: Path
    data: Path
    run: Path

    @property
    def output(self) -> Path:
        return self.folder / "runs"

    def train(self, *arguments: object) -> Outcome:
        return train(self.data, self.output, *arguments)

    def evaluate(self, *arguments: object) -> Outcome:
        weights, out = self.run / "checkpoints" / "last.ckpt", self.folder / "evaluation"
        return run_tool("evaluate", weights, f"data.root={self.data}", "--out", out, *arguments)

    def losses(self, name: str) -> list[str]:
        """The losses of a run of one epoch on the data as they are now."""
        train(self.data, self.folder / name).require_success()
        return logged(read_log(only_run(self.folder / name)), "train/loss")

    def annotations(self, split: str = "train") -> Path:
        return self.data / "annotations" / f"instances_{split}2017.json"

    def content(self, split: str = "train") -> Annotations:
        return json.loads(self.annotations(split).read_text())

    def edit(self, change: Callable[[Annotations], object], split: str = "train") -> None:
        content = self.content(split)
        change(content)
        self.annotations(split).write_text(json.dumps(content))

    def save(self, content: object, name: str = "other.ckpt") -> Path:
        torch.save(content, self.folder / name)
        return self.folder / name

    def own_checkpoint(self) -> dict[str, Any]:
        return torch.load(self.run / "checkpoints" / "last.ckpt", weights_only=True)


def assert_refused(outcome: Outcome, *words: object, lines: int = 1) -> None:
    assert outcome.code == 2, outcome.err + outcome.out
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("error: ") == 1
    assert outcome.err.count("\n") == lines, outcome.err
    assert "Traceback" not in outcome.err + outcome.out
    for word in words:
        assert str(word) in outcome.err


class Masks(NamedTuple):
    """A copy of the tiny data set, as a segmenter reads it, and a run of it."""

    folder: Path
    data: Path
    run: Path

    def train(self, *arguments: object) -> Outcome:
        """One batch of each kind: nothing is written."""
        return train_segmenter(self.data, self.folder / "runs", *arguments, "--dry-run")

    def evaluate(self, *arguments: object) -> Outcome:
        weights, out = self.run / "checkpoints" / "last.ckpt", self.folder / "evaluation"
        return run_tool("evaluate", weights, f"data.root={self.data}", "--out", out, *arguments)

    def paths(self, split: str = "train") -> list[Path]:
        return sorted((self.data / "label_maps" / f"{split}2017").iterdir())

    def pictures(self, split: str = "train") -> list[Path]:
        return sorted((self.data / f"{split}2017").iterdir())

    def list_of(self, *keys: str) -> str:
        path = self.folder / "list.txt"
        path.write_text("".join(f"{key}\n" for key in keys))
        return f"data.train_list={path}"


def convert(path: Path, mode: str) -> None:
    with Image.open(path) as image:
        converted = image.convert(mode)
    converted.save(path)


def big_picture(side: int) -> bytes:
    """A PNG of some hundred bytes that says it has side x side pixels."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


class Pictures(NamedTuple):
    """A copy of the tiny data set, a task that reads it, and a run of it."""

    folder: Path
    data: Path
    task: str
    run: Path

    def train(self, *arguments: object) -> Outcome:
        start = train if self.task == "detection" else train_segmenter
        return start(self.data, self.folder / "runs", *arguments)

    def evaluate(self, *arguments: object) -> Outcome:
        weights, out = self.run / "checkpoints" / "last.ckpt", self.folder / "evaluation"
        root = f"data.root={self.data}"
        return run_tool("evaluate", weights, root, "--out", out, *arguments)

    def predict(self, source: Path, *options: str) -> Outcome:
        weights, out = self.run / "checkpoints" / "last.ckpt", self.folder / "predictions"
        return run_tool("predict", source, "--weights", weights, "--out", out, *options)

    def paths(self, split: str = "val") -> list[Path]:
        return sorted((self.data / f"{split}2017").iterdir())

    def masks(self, split: str = "val") -> list[Path]:
        return sorted((self.data / "label_maps" / f"{split}2017").iterdir())

    def resize(self, split: str, sizes: Sequence[tuple[int, int]]) -> None:
        """Gives the first pictures other sizes, with masks to match, and no boxes."""
        file = self.data / "annotations" / f"instances_{split}2017.json"
        content = json.loads(file.read_text())
        for path, mask, size in zip(self.paths(split), self.masks(split), sizes, strict=False):
            Image.new("RGB", size, "gray").save(path)
            Image.new("L", size, 1).save(mask)
            (image,) = (each for each in content["images"] if each["file_name"] == path.name)
            image.update(width=size[0], height=size[1])
            boxes = content["annotations"]
            content["annotations"] = [box for box in boxes if box["image_id"] != image["id"]]
        file.write_text(json.dumps(content))

    def leave_out(self, bad: Sequence[Path]) -> list[str]:
        """Takes pictures out of the validation set; what a segmenter must be told of that."""
        names = {path.name for path in bad}
        file = self.data / "annotations" / "instances_val2017.json"
        content = json.loads(file.read_text())
        content["images"] = [each for each in content["images"] if each["file_name"] not in names]
        ids = {each["id"] for each in content["images"]}
        boxes = content["annotations"]
        content["annotations"] = [each for each in boxes if each["image_id"] in ids]
        file.write_text(json.dumps(content))
        if self.task == "detection":
            return []
        kept = [path.stem for path in self.paths() if path.name not in names]
        (self.data / "kept.txt").write_text("\n".join(kept))
        return ["data.val_list=kept.txt"]


def spoil(path: Path, kind: str = "truncated") -> None:
    path.write_bytes(BAD_PICTURES[kind](path.read_bytes()))


def scores_of(folder: Path) -> dict[str, Any]:
    return {
        key: value
        for key, value in json.loads((folder / "metrics.json").read_text()).items()
        if key not in ("checkpoint", "checkpoint_seal", "unmeasured")
    }


def rotate_by_exif(path: Path) -> None:
    """Says in the EXIF data that a viewer must turn the picture; the pixels stay as they are."""
    data = path.read_bytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:])
