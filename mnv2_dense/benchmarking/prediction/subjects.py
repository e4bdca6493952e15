"""The networks that are measured, as files for every engine that is installed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mnv2_dense.benchmarking.prediction.random_weights import fit_norms, set_candidates, set_mixture
from mnv2_dense.benchmarking.prediction.settings import DETECTED
from mnv2_dense.builders import Task, build_task
from mnv2_dense.config.loader import parse_config
from mnv2_dense.config.schema import Config, DetectionConfig
from mnv2_dense.detection.network import Detector
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.drawing import Picture
from mnv2_dense.errors import UserError
from mnv2_dense.exporting.formats import FORMATS, check_format, writer
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.prediction.loading import load
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import Deployed, deploy, describe
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.prediction.preparing import prepare_picture
from mnv2_dense.segmentation.head import DeepLabV3Head
from mnv2_dense.structures import Category, ImageSize
from mnv2_dense.training.checkpoint_io import CARD, AtomicCheckpointIO


class Opened(NamedTuple):
    """A predictor, its file, and the name of its engine; None where the file decides."""

    predictor: Predictor
    path: Path
    engine: str | None = None


@dataclass(frozen=True)
class Subject:
    """A network of random weights, as a checkpoint and as whatever can be written here.

    Attributes:
        task: The network before its norms are folded.
        manifest: Of its exports.
        folder: Of its files.
        left_out: Why there is no file for an engine, in words.
    """

    task: Task
    manifest: Manifest
    folder: Path
    left_out: list[str] = field(default_factory=list)

    @property
    def checkpoint(self) -> Path:
        """Its file of weights."""
        return self.folder / f"{self.manifest.task}.ckpt"

    @cached_property
    def deployed(self) -> Deployed:
        """The network with its norms folded."""
        return deploy(self.task)

    def path(self, engine: str) -> Path:
        """The file that an engine opens."""
        return self.checkpoint.with_suffix(
            FORMATS[engine].suffix if engine in FORMATS else self.checkpoint.suffix
        )

    def open(self, engines: Sequence[str], threads: int) -> dict[str, Opened]:
        """Predictors by engine, of those whose file is there and can be opened."""
        opened: dict[str, Opened] = {}
        for engine in engines:
            path = self.path(engine)
            if path.is_file():
                try:
                    opened[engine] = Opened(load(path, engine, threads=threads), path, engine)
                except UserError as error:
                    self.left_out.append(f"{engine}: {error}")
        return opened

    def open_others(self, paths: Sequence[Path], threads: int) -> dict[str, Opened]:
        """Predictors by name, of those files whose network is for the same task and input.

        Raises:
            UserError: A file cannot be opened.
        """
        opened: dict[str, Opened] = {}
        for path in paths:
            predictor = load(path, threads=threads)
            own, manifest = self.manifest, predictor.manifest
            if (manifest.task, manifest.input_size) == (own.task, own.input_size):
                opened[path.name] = Opened(predictor, path)
        return opened


def make_subject(
    settings: Mapping[str, Any], picture: Picture, folder: Path, engines: Sequence[str]
) -> Subject:
    """Builds a network, and writes its checkpoint and a file for each of the engines.

    Args:
        settings: Its config.
        picture: What its weights are fitted to; see `random_weights`.
        folder: For the files.
        engines: That files are written for, if their libraries are installed.
    """
    config = parse_config(settings)
    task, categories = _build(config)
    manifest = describe(config, categories, dynamic_size=False)
    fit_to_picture(task, prepare_picture(picture, manifest))
    subject = Subject(task, manifest, folder)
    AtomicCheckpointIO().save_checkpoint(
        {"state_dict": task.state_dict(), CARD: task.card}, subject.checkpoint
    )
    for engine in engines:
        if engine in FORMATS:
            _write(subject, engine)
    return subject


def _build(config: Config) -> tuple[Task, list[Category]]:
    detects = isinstance(config, DetectionConfig)
    first = 1 if detects else 0
    names = config.data.classes or [f"class {number}" for number in range(DETECTED)]
    categories = [Category(number, name) for number, name in enumerate(names, start=first)]
    torch.manual_seed(0)
    return build_task(config, categories), categories


def fit_to_picture(task: Task, prepared: Picture) -> None:
    """Norms of a network's random weights; its last layers, to keep decoding busy.

    Args:
        task: Whose weights are changed.
        prepared: What it is shown, see `prepare_picture`.
    """
    images = as_batch(prepared, ImageSize(*prepared.shape[:2]))
    images = (images - task.mean.view(1, -1, 1, 1)) / task.std.view(1, -1, 1, 1)
    network = task.network
    fit_norms(network, images)
    with torch.no_grad():
        logits = network(images[:1]).class_logits
    if isinstance(task, DetectionTask):
        assert isinstance(network, Detector)
        set_candidates(network.head.class_branches, logits)
    else:
        assert isinstance(network.head, DeepLabV3Head)
        set_mixture(network.head.classifier, logits)


def as_batch(picture: Picture, size: ImageSize) -> Tensor:
    """The picture and its mirror image, [2, 3, H, W] float 0-255: norms need more than one."""
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    resized = resize_map(image, size, align_corners=False)
    return torch.cat([resized, resized.flip(-1)])


def _write(subject: Subject, engine: str) -> None:
    try:
        check_format(engine, int8=False)
    except UserError as error:
        reason = str(error).removeprefix(f"--format {engine} ")
        subject.left_out.append(f"{engine}: {reason}")
        return
    writer(engine)(subject.deployed, subject.manifest, subject.path(engine))
