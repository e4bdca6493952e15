"""What a network begins its training with: weights, and a compiled form."""

from pathlib import Path

from mnv2_dense.builders.any_task import AnyTask, network_of
from mnv2_dense.builders.opening import check_kind, parse_any_card, read_card
from mnv2_dense.builders.trained import BACKBONE, DECIDES, Keys, check_same, find_differences
from mnv2_dense.builders.weights import load_pretrained
from mnv2_dense.commands.session import say
from mnv2_dense.config.detection import Anchors
from mnv2_dense.config.schema import AnyConfig, columns_of
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.ops.state_dict import load_state_dict
from mnv2_dense.structures import Category

COMPUTED: Keys = {
    **BACKBONE,
    "backbone": (*DECIDES, "norm_epsilon"),
    "head": ("activation", "align_corners", "norm_epsilon", "atrous_rates"),
    "anchors": tuple(Anchors.model_fields),
}
"""What a whole network's weights need as it was."""
NOTED: Keys = {"input": ("resize",), "loss": ("classification",)}
"""What they were trained with and training can change."""


def begin(task: AnyTask, config: AnyConfig, weights: Path | None, *, resumed: bool = False) -> None:
    """Gives a network the weights that its training begins with, says which, and compiles it.

    Args:
        task: With random weights.
        config: Names weights for the backbone, and says whether to compile.
        weights: A checkpoint of the whole network, instead of the backbone's.
        resumed: Whether a run goes on, whose own weights follow.

    Raises:
        UserError: The weights cannot be read, or do not fit.
    """
    network = network_of(task)
    if not resumed:
        message = (
            load_pretrained(network, config)
            if weights is None
            else start_from(task, config, weights)
        )
        if message is not None:
            say(message)
    if config.training.compile:
        network.compile()


def start_from(task: AnyTask, config: AnyConfig, path: Path) -> str:
    """Loads a checkpoint's weights to train on from, and returns in words what was loaded.

    Where the data have other classes, the layers of class logits stay random.

    Args:
        task: What the config builds.
        config: Of the run that begins.
        path: The checkpoint.

    Raises:
        UserError: The file cannot be read, is not ours, or is of another network or input.
    """
    content = read_checkpoint(path)
    stored, categories = read_card(content, path)
    check_kind(task, stored, path)
    pairs = [
        (given.model_dump(), trained.model_dump())
        for given, trained in zip(
            columns_of(config), columns_of(parse_any_card(stored, path)), strict=True
        )
    ]
    for given, trained in pairs:
        check_same(given, trained, path, COMPUTED)
    state = dict(content.get("state_dict", {}))
    same = categories == [Category(*each) for each in task.card["categories"]]
    layers = () if same else network_of(task).class_layers
    random = tuple(f"network.{name}." for name in layers)
    own = task.state_dict()
    kept = {name: own[name] for name in own if name.startswith(random)}
    load_state_dict(task, {**state, **kept}, path)
    loaded = f"{path}: {len(own) - len(kept)} tensors loaded"
    if not same:
        loaded += f"; {len(kept)} of the layers of class logits random, as the classes differ"
    if others := [text for pair in pairs for text in find_differences(*pair, NOTED)]:
        loaded += f"\nnote: they were trained with {', '.join(others)}"
    return loaded
