"""A checkpoint written as a file of another runtime, and shown to compute the same there."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.commands.export_table import describe_mismatch, draw_table, sees_little
from mnv2_dense.commands.new_folder import parts_beside
from mnv2_dense.commands.outputs import check_output
from mnv2_dense.commands.prediction_checkpoints import looks_twice
from mnv2_dense.commands.session import quiet_lightning, say
from mnv2_dense.commands.stopping import ended_by_sigterm
from mnv2_dense.config.schema import Config
from mnv2_dense.errors import UserError
from mnv2_dense.exporting.formats import FORMATS, check_format, writer
from mnv2_dense.exporting.pictures import draw_pictures, read_pictures
from mnv2_dense.exporting.verify import verify
from mnv2_dense.prediction.loading import default_threads, is_exported, load, model_files
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import Deployed
from mnv2_dense.prediction.torch_engine import TorchEngine
from mnv2_dense.structures import ImageSize

VERIFIED_PICTURES = 8
OTHER_SIZE = 64
"""Pixels that a file for any size is verified to take more."""
CALIBRATION_PICTURES = 200
"""More of them change the ranges no further."""


@dataclass(frozen=True)
class Export:
    """What is to be written.

    Attributes:
        format: One of `FORMATS`.
        out: The file; None takes the checkpoint's name, beside it.
        int8: Quantised, by the pictures in `calibration`.
        calibration: A folder of pictures; they also verify.
        pictures: A folder of pictures that verify; without both folders some are drawn.
        dynamic: For pictures of any size.
        licence: Of the weights.
    """

    format: str
    out: Path | None = None
    int8: bool = False
    calibration: Path | None = None
    pictures: Path | None = None
    dynamic: bool = False
    licence: str | None = None


def export(checkpoint: Path, wanted: Export, overrides: Sequence[str] = ()) -> None:
    """Writes the file, verifies it, and only then puts it into its place.

    Args:
        checkpoint: Of this project.
        wanted: Format, place and kind of the file.
        overrides: Changes to the checkpoint's config, `key.path=value`.

    Raises:
        UserError: The checkpoint cannot be read, the format does not go with what is asked for, a
            file is there already, or the file computes something else than PyTorch.
    """
    quiet_lightning()
    path = wanted.out or checkpoint.with_suffix(FORMATS[wanted.format].suffix)
    _check(wanted, checkpoint, path)
    reference = TorchEngine(checkpoint, overrides=overrides, threads=default_threads())
    manifest = replace(
        reference.manifest,
        precision="int8" if wanted.int8 else "float32",
        dynamic_size=wanted.dynamic,
        licence=wanted.licence,
    )
    for note in _notes(reference.config):
        say(note)
    pictures = _pictures(wanted, manifest)
    with ended_by_sigterm(), parts_beside(path) as part:
        # A copy, so that nothing a writer changes is compared with itself.
        _write(deepcopy(reference.deployed), manifest, part, wanted)
        engine = load(part, wanted.format, threads=default_threads()).engine
        verification = verify(engine, reference, *pictures)
        files = model_files(part)
        size = sum(file.stat().st_size for file in files)
        say(draw_table(wanted.format, size, verification, (reference, engine), pictures[0][:1]))
        if not verification.same and not sees_little(verification, manifest):
            raise UserError(describe_mismatch(verification, path))
        for file in reversed(files):  # The weights first: a file that is there is complete.
            file.replace(path.with_name(file.name))
    say(f"wrote {' and '.join(map(str, model_files(path)))}")


def _check(wanted: Export, checkpoint: Path, path: Path) -> None:
    """Refuses what cannot be done before anything is read."""
    kind = FORMATS[wanted.format]
    if is_exported(checkpoint):
        raise UserError(
            f"{checkpoint}: an exported model is not exported again; give the checkpoint that it "
            "was written from"
        )
    check_format(wanted.format, int8=wanted.int8)
    if path.suffix.lower() != kind.suffix:
        raise UserError(
            f"--out {path}: files of --format {wanted.format} end in {kind.suffix}, by which they "
            "are recognised"
        )
    for file in model_files(path):
        if file.exists():
            raise UserError(f"--out {path}: {file} is there already; give another name")
    check_output(path.parent)
    if wanted.dynamic and not kind.dynamic_size:
        raise UserError(
            f"--dynamic: files of --format {wanted.format} take pictures of one size; give it with "
            "--height and --width"
        )
    if wanted.int8 and wanted.calibration is None:
        raise UserError(
            "--int8 needs --calibration FOLDER: some 100 pictures of the kind that the network "
            "will see, whose activations the 8 bits are to cover"
        )
    if wanted.calibration is not None and not wanted.int8:
        raise UserError("--calibration goes with --int8; pictures to verify by are --pictures")


def _notes(config: Config) -> list[str]:
    """What of a config an exported file does not do."""
    if not looks_twice(config):
        return []
    return [
        "note: evaluation.scales and evaluation.flip are not part of the file; it sees a picture "
        "once, as it is"
    ]


def _pictures(wanted: Export, manifest: Manifest) -> list[NDArray[np.uint8]]:
    """The pictures that verify: where there are some to calibrate by, these.

    A file for any size also sees some of another size, higher and less wide.
    """
    folder = wanted.pictures or wanted.calibration
    manifests = [manifest]
    if wanted.dynamic:
        height, width = manifest.input_size
        other = ImageSize(height + OTHER_SIZE, max(1, width - OTHER_SIZE // 2))
        manifests.append(replace(manifest, input_size=other))
    if folder is None:
        return [draw_pictures(each, VERIFIED_PICTURES) for each in manifests]
    return [read_pictures(folder, each, VERIFIED_PICTURES) for each in manifests]


def _write(deployed: Deployed, manifest: Manifest, path: Path, wanted: Export) -> None:
    if not wanted.int8:
        writer(wanted.format)(deployed, manifest, path)
        return
    from mnv2_dense.exporting.int8 import quantize

    assert wanted.calibration is not None
    pictures = read_pictures(wanted.calibration, manifest, CALIBRATION_PICTURES)
    quantize(wanted.format, deployed, manifest, path, pictures)
