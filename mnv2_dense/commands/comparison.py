"""A checkpoint and its .tflite file on the same pictures: tables, and the verdict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mnv2_dense.commands.classify import ImageClassifier
from mnv2_dense.commands.column import Column
from mnv2_dense.commands.session import say
from mnv2_dense.config.classification import ClassifierConfig
from mnv2_dense.config.schema import Config
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.images import read_image
from mnv2_dense.importing.found import Imported
from mnv2_dense.parity.agreement import Agreement
from mnv2_dense.parity.answers import Answers, LabelMaps, Names
from mnv2_dense.parity.box_answers import Boxes
from mnv2_dense.parity.layers import Layers
from mnv2_dense.parity.runtime import Runtime

SHOWN_LAYERS = 10
LAYER_PICTURES = 8
"""Pictures on which every layer is compared, which takes longest; outputs are on all."""


NOT_COVERED = "not compared: how pictures are resized, and the data's protocol"


class Opened(NamedTuple):
    """A checkpoint beside its file.

    Attributes:
        network: Ours.
        predictor: Shows it pictures.
        given: The config.
        config: The same of a task; None of a classifier, which has no evaluation.
    """

    network: nn.Module
    predictor: Column | ImageClassifier
    given: Config | ClassifierConfig
    config: Config | None


def compare(
    opened: Opened, imported: Imported, pictures: Sequence[Path], differences: Sequence[str] = ()
) -> tuple[bool, dict[str, Any]]:
    """Whether layers and outputs agree, and the figures; they are printed too.

    Args:
        opened: The checkpoint.
        imported: The file.
        pictures: Shown to both.
        differences: Of the config, found before; with any the two are not the same.
    """
    runtime = Runtime(
        Path(imported.source), opened.given.input.mean, opened.given.input.std,
        threads=torch.get_num_threads(),
    )  # fmt: skip
    layers = Layers(opened.network, imported, runtime.graph)
    answers = _answers(opened, runtime)
    for number, path in enumerate(pictures):
        for normalized in _shown(opened, read_image(path, upright=True)):
            seen = runtime.feed(normalized)
            layered = number < LAYER_PICTURES
            outputs = layers.compare(seen, runtime) if layered else layers.run(seen)
            answers.update(str(path), outputs, runtime)
    exact = not runtime.graph.quantized
    kind = "a float file" if exact else "a quantised file, whose every layer is rounded"
    say(f"{imported.source}: {kind}; {len(pictures)} pictures")
    _say_layers(layers, answers.agreements)
    for line in answers.lines():
        say(line)
    same = _judge(layers, answers, differences, exact=exact)
    if not same:
        _say_weights(opened.network, imported)
    return same, {
        "quantized": not exact,
        "same": same,
        "pictures": [str(path) for path in pictures],
        "layers": [
            {**each.as_dict(), **_steps(layers, each.name)} for each in layers.agreements.values()
        ],
        "cut_off": sorted(layers.cut_off),
        "outputs": [each.as_dict() for each in answers.agreements],
        **answers.as_dict(),
    }


def _steps(layers: Layers, name: str) -> dict[str, float]:
    return {"steps": layers.steps[name]} if name in layers.steps else {}


def _answers(opened: Opened, runtime: Runtime) -> Answers:
    if isinstance(opened.predictor, ImageClassifier):
        return Names(runtime.graph)
    task = opened.predictor.task
    if isinstance(task, DetectionTask):
        return Boxes(runtime.graph, task.decoder, opened.predictor.categories)
    return LabelMaps(runtime.graph, align_corners=task.inference.decoder.align_corners)


def _shown(opened: Opened, picture: np.ndarray) -> list[np.ndarray]:
    """What our network is shown of a picture: normalised [H, W, 3], once or more often."""
    seen: list[np.ndarray] = []

    def keep(_network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.extend(inputs[0].permute(0, 2, 3, 1).numpy())

    hook = opened.network.register_forward_pre_hook(keep)
    try:
        opened.predictor.see(picture)
    finally:
        hook.remove()
    return seen


def _say_layers(layers: Layers, outputs: Sequence[Agreement]) -> None:
    """A table of the worst layers and of all outputs."""
    listed = list(layers.agreements.values())
    worst = sorted(listed, key=lambda each: -layers.steps.get(each.name, each.relative))
    width = max(len(each.name) for each in (*listed, *outputs)) + 2
    own = "  own rounding" if layers.steps else ""
    say(f"{'':<{width}}  max difference  of largest  correlation{own}")
    groups = ((f"worst of {len(listed)} layers:", worst[:SHOWN_LAYERS]), ("outputs:", outputs))
    for title, group in groups:
        say(title)
        for each in group:
            steps = layers.steps.get(each.name)
            say(
                f"  {each.name:<{width - 2}}  {each.difference:>14.3g}  {each.relative:>10.2g}  "
                f"{each.correlation:>11.6f}" + ("" if steps is None else f"  {steps:>6.2f} steps")
            )
    if layers.steps:
        say("own rounding: the layer given the file's own values, in steps of the file's rounding")
    if layers.cut_off:
        say(
            f"{len(layers.cut_off)} layers have values beyond the file's range, which it cuts off: "
            + ", ".join(sorted(layers.cut_off))
        )


def _judge(layers: Layers, answers: Answers, differences: Sequence[str], *, exact: bool) -> bool:
    """Whether the two compute the same; what does not is printed."""
    misses = [*differences, *(answers.misses() if exact else answers.rounded_misses())]
    first = layers.first_diverging()
    if first is None and not misses:
        say(f"the checkpoint computes what the file computes ({NOT_COVERED})")
        return True
    if first is not None:
        steps, relative = layers.steps.get(first), layers.agreements[first].relative
        how = (
            f"{steps:.1f} steps of its rounding"
            if steps
            else f"{relative:.2g} of its largest value"
        )
        misses.append(f"the first layer that differs is {first}, by up to {how}")
    say(f"DIFFERENT: {'; '.join(misses)}")
    return False


def _say_weights(network: nn.Module, imported: Imported) -> None:
    """Whether the weights are those of a new import."""
    state = network.state_dict()
    others = [
        name
        for name, tensor in imported.state.items()
        if name in state and not torch.equal(state[name].cpu(), tensor)
    ]
    if not others:
        say("its weights are those of a new import of the file; the config or the import differs")
    else:
        say(
            f"{len(others)} of {len(imported.state)} tensors are not those of a new import of the "
            f"file; the first is {others[0]}"
        )
