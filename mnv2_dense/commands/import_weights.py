"""Weights of other programs into a checkpoint of this project, with the config that fits them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from mnv2_dense import __version__
from mnv2_dense.backbone.weights import IMAGENET, download_imagenet
from mnv2_dense.builders import build_task
from mnv2_dense.builders.backbones import build_classifier
from mnv2_dense.builders.opening import check_same_classes
from mnv2_dense.builders.trained import Settings, find_differences, settled_keys
from mnv2_dense.commands.classify import ImageClassifier, name_classes, parse_stored
from mnv2_dense.commands.column import Column
from mnv2_dense.commands.columns import column_of
from mnv2_dense.commands.outputs import check_output
from mnv2_dense.commands.session import quiet_lightning, say
from mnv2_dense.config.loader import parse_config
from mnv2_dense.errors import UserError
from mnv2_dense.image_files import find_images
from mnv2_dense.images import read_image
from mnv2_dense.importing.found import Imported
from mnv2_dense.importing.reading import STATES, read_weights
from mnv2_dense.importing.states import import_state
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.ops.norms import measure_norms
from mnv2_dense.ops.state_dict import load_state_dict
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.training.checkpoint_io import CARD, AtomicCheckpointIO
from mnv2_dense.training.runs import write_json

REPORT = ".import.json"
"""What the report's name adds to the checkpoint's."""
MAX_PICTURES = 200
"""Pictures that statistics are measured on; more change them no further."""
_BLOCK = 2**20


def import_weights(
    source: str,
    overrides: Sequence[str] = (),
    *,
    out: Path | None = None,
    pictures: Path | None = None,
) -> None:
    """Writes the checkpoint, and beside it a report of what became of every tensor.

    Args:
        source: A file of another program, or `imagenet` for torchvision's weights.
        overrides: Changes to the config that goes with the weights, `key.path=value`.
        out: The checkpoint; None takes the source's name, in the working directory.
        pictures: A folder whose pictures give folded batch norms their statistics.

    Raises:
        UserError: The source cannot be imported, or something else has the checkpoint's name.
    """
    quiet_lightning()
    out = out or Path(f"{_stem(source)}.ckpt")
    report = out.with_name(out.name + REPORT)
    for file in (out, report):
        if file.exists():
            raise UserError(f"--out {out}: {file} is there already; give another name")
    check_output(out.parent)
    imported = read_source(source)
    network, predictor, card = build(imported, overrides)
    for line in describe(imported, calibrated=pictures is not None):
        say(line)
    if pictures is not None:
        _measure(network, predictor, pictures)
    card["source"] = _provenance(source)
    out.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    AtomicCheckpointIO().save_checkpoint({"state_dict": state, CARD: card}, out)
    write_json(report, _report(imported, card["source"]))
    say(f"wrote {out} and {report}")


def read_source(source: str) -> Imported:
    """What there is to import; see `import_weights`."""
    if source == IMAGENET:
        return import_state(download_imagenet("imagenet"), source)
    path = Path(source)
    if path.suffix.lower() in STATES and path.is_file() and CARD in read_checkpoint(path):
        raise UserError(
            f"{path}: is already a checkpoint of this project; train, evaluate and predict open it"
        )
    return read_weights(path)


def build(
    imported: Imported, overrides: Sequence[str] = ()
) -> tuple[nn.Module, Column | ImageClassifier, dict[str, Any]]:
    """The network with its weights (under a checkpoint's names), ready to predict, and its card.

    Raises:
        UserError: A change to the config is not allowed, or the weights no longer fit it.
    """
    settings = {"task": imported.task, "name": imported.task, **imported.settings}
    if imported.task == "classification":
        return _build_classifier(imported, settings, overrides)
    config = parse_config(settings, overrides, name=imported.source)
    _check_overrides(imported, config.model_dump(), parse_config(settings).model_dump())
    check_same_classes(config, imported.categories, Path(imported.source))
    task = build_task(config, imported.categories)
    load_state_dict(task.network, imported.state, imported.source)
    task.eval()
    return task, column_of(config, task, imported.categories), task.card


def _build_classifier(
    imported: Imported, settings: Mapping[str, Any], overrides: Sequence[str]
) -> tuple[nn.Module, Column | ImageClassifier, dict[str, Any]]:
    config = parse_stored(settings, overrides, imported.source)
    own = parse_stored(settings, (), imported.source)
    _check_overrides(imported, config.model_dump(), own.model_dump())
    count = len(imported.state["classifier.weight"])
    network = build_classifier(config.backbone, count)
    load_state_dict(network, imported.state, imported.source)
    names = name_classes(count)
    card = {
        "version": __version__,
        "config": config.model_dump(mode="json"),
        "categories": [[label, name] for label, name in enumerate(names)],
    }
    return network, ImageClassifier(network, config.input, names), card


def _check_overrides(imported: Imported, given: Settings, own: Settings) -> None:
    """Refuses changes to what the file decides.

    Args:
        imported: The network.
        given: The config with the changes, as a mapping.
        own: The config without them.

    Raises:
        UserError: The file says otherwise of a key.
    """
    if found := find_differences(given, own, settled_keys(imported.settings), exact=True):
        raise UserError(
            f"{imported.source}: is a network with {', '.join(found)}; override evaluation or data "
            "keys instead, the network's own keys belong to the weights"
        )


def describe(imported: Imported, *, calibrated: bool = False) -> Iterator[str]:
    """What was found, line by line.

    Args:
        imported: The network.
        calibrated: Whether its batch norms will be given statistics.
    """
    settings: dict[str, dict[str, Any]] = imported.settings
    backbone, given = settings["backbone"], settings["input"]
    size = f", input {given['height']}x{given['width']}" if "height" in given else ""
    yield (
        f"{imported.source}: {imported.task}, MobileNetV2 of width {backbone['width_mult']:g}, "
        f"output stride {backbone['output_stride']}{size}"
    )
    yield (
        f"{len(imported.used)} tensors became {len(imported.state)} of ours; "
        f"{len(imported.not_needed)} are not needed, each with its reason in the report"
    )
    for note in imported.notes:
        yield f"note: {note}"
    if imported.folded and not calibrated:
        yield (
            f"note: {imported.folded} batch norms are folded in the file. They compute the same "
            "here, but their statistics are unknown: before fine-tuning, import with --calibrate "
            "FOLDER, or train with training.freeze_norm_epochs"
        )


def _measure(network: nn.Module, predictor: Column | ImageClassifier, folder: Path) -> None:
    pictures = find_images(folder)[:MAX_PICTURES]
    if isinstance(network, SegmentationTask):
        # At another stride the weights run in a copy of the network, whose norms are not these.
        network.other_stride = None
    with measure_norms(network):
        for path in pictures:
            predictor.see(read_image(path, upright=True))
    say(f"measured the batch norms' statistics on {len(pictures)} pictures of {folder}")


def _report(imported: Imported, provenance: Mapping[str, str]) -> dict[str, Any]:
    return {
        "source": dict(provenance),
        "task": imported.task,
        "used": imported.used,
        "not_needed": imported.not_needed,
        "notes": list(imported.notes),
    }


def _provenance(source: str) -> dict[str, str]:
    """The source's name, and its hash where it is a file."""
    path = Path(source)
    if not path.is_file():
        return {"name": path.name}
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return {"name": path.name, "sha256": digest.hexdigest()}


def _stem(source: str) -> str:
    name = Path(source).resolve().name
    lower = name.lower()
    for suffix in (".tar.gz", ".tgz", ".zip", ".tflite", ".pb", ".pth", ".pt", ".ckpt"):
        lower = lower.removesuffix(suffix)
    return name[: len(lower)]
