"""What both commands do: arguments, and one run after the other until all have finished."""

import argparse
import platform
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from mnv2_dense.builders.trainer import prepare_process
from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import Config
from mnv2_dense.errors import UserError
from mnv2_dense.shapes.dataset import generate
from tools.compare.initial_weights import InitialWeights, read_weights
from tools.compare.product import RECIPES, settle, shared_overrides, train_product
from tools.compare.runs import (
    Outcome,
    Run,
    is_finished,
    read_results,
    training_folder,
    write_result,
)
from tools.compare.sources import add_library, describe_sources
from tools.compare.tables import write_tables

SHAPES = "shapes"
SHAPES_IMAGES = (1000, 250)
"""Training and validation scenes, of the input's size."""

TrainPeer = Callable[[Run, Config, InitialWeights | None], Outcome]


class Side(NamedTuple):
    """What the two tasks do not share.

    own: this project's networks by name, with the overrides that make them.
    peers: names of the others.
    fitting: peers whose backbone takes the weights of a MobileNetV2.
    data: overrides for a data set by its name, of its folder.
    train_peer: trains one of the others and measures it.
    """

    task: str
    own: dict[str, list[str]]
    peers: Collection[str]
    fitting: Collection[str]
    data: dict[str, Callable[[Path], list[str]]]
    train_peer: TrainPeer


def compare(side: Side, options: argparse.Namespace) -> None:
    """Trains what has not finished yet, seed by seed, and writes the tables after every run.

    Raises:
        UserError: An argument is wrong, or a run cannot be done.
    """
    name, root = choose_data(side, options.data)
    check_networks(side, options.networks, with_weights=options.weights is not None)
    weights = None if options.weights is None else read_weights(options.weights)
    root = root or options.out / f"{SHAPES}-{options.size}"
    if name == SHAPES and not root.exists():
        train_images, val_images = SHAPES_IMAGES
        generate(root, train_images=train_images, val_images=val_images, size=options.size)
    places = side.data[name](root)
    shared = describe_sources(RECIPES / f"{side.task}.yaml", places, options.weights)
    for seed in options.seeds:
        for network in options.networks:
            run = plan(side, options, name, network, seed)
            sources = add_library(shared, network)
            if is_finished(run, sources, options.out):
                print(f"{run.name}: finished before", flush=True)
                continue
            print(f"{run.name}: begins", flush=True)
            folder = training_folder(run, sources, options.out)
            outcome = perform(side, run, places, weights, folder)
            write_result(run, sources, outcome, options.out, **surroundings())
            write_tables(read_results(options.out), options.out)
    print(write_tables(read_results(options.out), options.out))


def choose_data(side: Side, given: str) -> tuple[str, Path | None]:
    """Name and folder of a data set, from NAME=FOLDER; None: the scenes are still to be drawn.

    Raises:
        UserError: There is no such set, or no such folder.
    """
    name, _, folder = given.partition("=")
    if name not in side.data or (not folder and name != SHAPES):
        known = " or ".join(each if each == SHAPES else f"{each}=FOLDER" for each in side.data)
        raise UserError(f"--data {given}: it is {known}")
    if name != SHAPES and not Path(folder).is_dir():
        raise UserError(f"--data {given}: no such folder")
    return name, Path(folder) if folder else None


def check_networks(side: Side, networks: Sequence[str], *, with_weights: bool) -> None:
    """Refuses networks that there are not, and weights for those that they do not fit.

    Raises:
        UserError: There is such a network.
    """
    for network in networks:
        if network not in side.own and network not in side.peers:
            known = ", ".join([*side.own, *side.peers])
            raise UserError(f"--networks {network}: there are {known}")
        if with_weights and network not in side.own and network not in side.fitting:
            raise UserError(
                f"--weights: those of a MobileNetV2 do not fit {network}; compare it without"
            )


def plan(side: Side, options: argparse.Namespace, data: str, network: str, seed: int) -> Run:
    """One run of a command: this project's networks know this project's recipe alone."""
    return Run(
        task=side.task,
        data=data,
        start="random" if options.weights is None else "imagenet",
        network=network,
        recipe="product" if network in side.own else options.recipe,
        seed=seed,
        steps=options.steps,
        batch=options.batch,
        size=options.size,
    )


def perform(
    side: Side, run: Run, places: Sequence[str], weights: InitialWeights | None, folder: Path
) -> Outcome:
    """Trains and measures the network of a run; `folder` takes what training writes."""
    overrides = [*shared_overrides(run, folder), *places, *side.own.get(run.network, [])]
    overrides += [] if weights is None else weights.overrides
    overrides = settle(run.task, overrides)
    if run.network in side.own:
        return train_product(run, overrides, folder)
    config = load_config(RECIPES / f"{run.task}.yaml", overrides)
    prepare_process(config)
    return side.train_peer(run, config, weights)


def surroundings() -> dict[str, object]:
    """Where a run was made: processor and threads."""
    return {"machine": platform.machine(), "threads": torch.get_num_threads()}
