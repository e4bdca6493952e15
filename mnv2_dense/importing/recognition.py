"""Graphs to networks of ours: which it is, where every layer goes, what is not needed."""

import numpy as np

from mnv2_dense.errors import UserError
from mnv2_dense.importing.classifier import flatten, place_classifier
from mnv2_dense.importing.deeplabv3 import has_pooling, place_deeplabv3
from mnv2_dense.importing.found import Found, Imported, Settings
from mnv2_dense.importing.graph import Graph, check_finite, may_be_weights
from mnv2_dense.importing.mobilenet_v2 import FoundBackbone, place_backbone
from mnv2_dense.importing.pictures import Preparation, note_resize, read_preparation
from mnv2_dense.importing.ssdlite import place_ssdlite
from mnv2_dense.importing.steps import Steps, tensors
from mnv2_dense.importing.walk import Walk


def recognise(graph: Graph) -> Imported:
    """The network that a graph holds, as one of ours.

    Raises:
        UserError: It is none that is known here, holds tensors that have no place in it, or
            its weights are not finite.
    """
    # What comes of values out of range is looked at in the end.
    with np.errstate(all="ignore"):
        return _recognise(graph)


def _recognise(graph: Graph) -> Imported:
    walk = Walk(Steps(graph))
    preparation = read_preparation(graph, walk.steps.stem_input, walk.steps.constants)
    if preparation.assumed:
        walk.notes.append("the file is fed normalised pictures; x * 2 / 255 - 1 is assumed")
    backbone = place_backbone(walk)
    found = _place_head(walk, backbone, preparation)
    if found.task != "detection":
        note_resize(preparation, walk.notes)
    walk.check_all_placed()
    epsilons = {group: walk.epsilon(group, default) for group, default in found.groups.items()}
    state = walk.state(epsilons)
    for name, tensor in state.items():
        check_finite(f"{graph.source}: what comes to {name}", tensor.numpy())
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise UserError(f"{graph.source}: the variance {name} is negative; damaged")
    used = _used(walk)
    return Imported(
        source=graph.source,
        task=found.task,
        settings=_settings(found, backbone, preparation, epsilons),
        categories=found.categories,
        state=flatten(state) if found.task == "classification" else state,
        used=used,
        not_needed=_not_needed(walk, preparation, used),
        outputs=tuple(
            (placement.module, [*tensors(walk.steps.items[number])][-1])
            for number, placement in walk.placed.items()
        ),
        folded=walk.count_folded(),
        notes=tuple(walk.notes),
    )


def _place_head(walk: Walk, backbone: FoundBackbone, preparation: Preparation) -> Found:
    tap = backbone.taps["block_16"]
    if has_pooling(walk, tap):
        return place_deeplabv3(walk, backbone, preparation)
    last = walk.only(walk.layers_after(tap, depthwise=False), "layer behind the last bottleneck")
    if walk.layers_after(last, depthwise=True):
        return place_ssdlite(walk, backbone, preparation)
    return place_classifier(walk, backbone, preparation)


def _settings(
    found: Found, backbone: FoundBackbone, preparation: Preparation, epsilons: dict[str, float]
) -> Settings:
    sections = {section: dict(keys) for section, keys in found.settings.items()}
    size = preparation.size
    sections["input"] |= {"mean": list(preparation.mean), "std": list(preparation.std)}
    if size is not None:
        sections["input"] |= {"height": size.height, "width": size.width}
    sections["backbone"] = {**backbone.settings, "norm_epsilon": epsilons["backbone"]}
    if "head" in epsilons:
        sections["head"]["norm_epsilon"] = epsilons["head"]
    return sections


def _used(walk: Walk) -> dict[str, str]:
    """The file's constants that placed layers are made of, each with our layer."""
    return {
        name: placement.convolution
        for number, placement in walk.placed.items()
        for name in walk.layer(number).constants
    }


def _not_needed(walk: Walk, preparation: Preparation, used: dict[str, str]) -> dict[str, str]:
    """The other constants, each with the reason.

    Raises:
        UserError: One of them is a tensor of weights, not a setting of an operation.
    """
    graph = walk.steps.graph
    readers = {name: node for node in reversed(graph.nodes) for name in node.inputs}
    reasons: dict[str, str] = dict(walk.explained)
    for name, value in graph.constants.items():
        if name in used or name in reasons:
            continue
        node = readers.get(name)
        if node is None:
            if may_be_weights(value):
                raise UserError(f"{graph.source}: {name} is left over: no layer reads it")
            reasons[name] = "nothing in the file reads it"
        elif node.name in preparation.nodes:
            reasons[name] = f"prepares the picture ({node.op}); see the config's input"
        elif may_be_weights(value):
            raise UserError(
                f"{graph.source}: {name} ({'x'.join(map(str, value.shape))}) is left over: "
                f"{node.name} reads it, which is no layer of the network"
            )
        else:
            reasons[name] = f"a shape, an axis or a setting of {node.op} ({node.name})"
    return reasons
