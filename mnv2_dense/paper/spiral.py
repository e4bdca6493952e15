"""Figure 1: what comes back of a spiral from n dimensions and a ReLU, as numbers and a picture.

Three forms:

- `random`: y = ReLU(T x) with a random T, and back by the pseudo-inverse of T, as in the paper.
  For large n this tends to x / 2, not to x: y is (T x) / 2 + |T x| / 2, and the second part
  averages out. The paper shows a shape, not a size, so one factor is fitted before the error is
  taken. The error also holds what the caption calls "highly non-convex": the bending by
  |T x| / 2, which falls as slowly as 1 / sqrt(n). So the mean over seeds tells a bent spiral of
  n = 15 from a collapsed one of n = 3, but a single seed's error need not; the share of lost
  points does.
- `random, best read-out`: the same y, and back by the linear map of it that fits best. It shows
  what a linear layer can still find in y, where the pseudo-inverse of T knows of no ReLU.
- `trained`: both maps are learned.

Source: MobileNetV2 paper, section 3.2 and Figure 1.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mnv2_dense.drawing import Picture
from mnv2_dense.paper.embedding import (
    embed,
    find_lost,
    fit_scale,
    invert,
    make_spiral,
    measure_error,
    random_embedding,
    read_out,
    train,
)

Form = Literal["random", "random, best read-out", "trained"]
FORMS: tuple[Form, ...] = ("random", "random, best read-out", "trained")
DIMENSIONS = (2, 3, 5, 15, 30)
"""The figure's n."""
RANDOM_SEEDS = 20
TRAINED_SEEDS = 5


class SpiralRow(NamedTuple):
    """What came back in one form from n dimensions, over all seeds.

    n: Dimensions of the embedding.
    form: One of `FORMS`.
    seeds: How many were tried, from 0 on.
    error_mean: Mean over the seeds of the relative RMS error: 0 is perfect, 1 as bad as the mean
        of the spiral in place of every point.
    error_min: Of the best seed.
    error_max: Of the worst seed.
    lost: Mean share of points that y does not determine (`embedding.find_lost`).
    """

    n: int
    form: Form
    seeds: int
    error_mean: float
    error_min: float
    error_max: float
    lost: float


class Trial(NamedTuple):
    """What came back with one seed: the points [N, 2], their error and the share of lost ones."""

    points: Tensor
    error: float
    lost: float


def run_trial(points: Tensor, n: int, form: Form, seed: int) -> Trial:
    """Sends points [N, 2] through n dimensions and back; all numbers follow from the seed."""
    generator = torch.Generator().manual_seed(seed)
    if form == "trained":
        network = train(points, n, generator)
        embedded, returned = embed(points, network.embedding.weight), network(points)
    else:
        embedding = random_embedding(n, generator)
        embedded = embed(points, embedding)
        inverted = fit_scale(invert(embedded, embedding), points)
        returned = inverted if form == "random" else read_out(embedded, points)
    lost = find_lost(embedded).double().mean().item()
    return Trial(returned, measure_error(returned, points), lost)


@cache  # so that the picture does not train again what the table has trained
def run_trials(n: int, form: Form, seeds: int) -> tuple[Trial, ...]:
    """The trials of the seeds from 0 on, with the usual spiral."""
    points = make_spiral()
    return tuple(run_trial(points, n, form, seed) for seed in range(seeds))


def figure1(
    random_seeds: int = RANDOM_SEEDS, trained_seeds: int = TRAINED_SEEDS
) -> list[SpiralRow]:
    """A row per form and n, form after form; takes seconds, most of them for the training.

    Raises:
        ValueError: A number of seeds is below 1.
    """
    return [summarize(n, form, seeds) for form, n, seeds in _cells(random_seeds, trained_seeds)]


def _cells(random_seeds: int, trained_seeds: int) -> Iterator[tuple[Form, int, int]]:
    if min(random_seeds, trained_seeds) < 1:
        raise ValueError(f"{random_seeds} and {trained_seeds} seeds; at least 1 is needed")
    for form in FORMS:
        for n in DIMENSIONS:
            yield form, n, trained_seeds if form == "trained" else random_seeds


def summarize(n: int, form: Form, seeds: int) -> SpiralRow:
    """One row of the table."""
    trials = run_trials(n, form, seeds)
    errors = [trial.error for trial in trials]
    lost = fmean(trial.lost for trial in trials)
    return SpiralRow(n, form, seeds, fmean(errors), min(errors), max(errors), lost)


def draw_figure1(
    path: Path, random_seeds: int = RANDOM_SEEDS, trained_seeds: int = TRAINED_SEEDS
) -> None:
    """Writes the figure as PNG: a row per form, the input and what came back by n.

    Every panel shows the seed in the middle when they are sorted by error, so none is picked by
    eye. Colour runs along the spiral: where colours meet, points collapsed into each other.

    Raises:
        ValueError: A number of seeds is below 1.
    """
    panels = [
        (form, n, sorted(run_trials(n, form, seeds), key=lambda trial: trial.error)[seeds // 2])
        for form, n, seeds in _cells(random_seeds, trained_seeds)
    ]
    Image.fromarray(_draw(panels)).save(path, format="PNG")


def _draw(panels: list[tuple[Form, int, Trial]]) -> Picture:
    # matplotlib takes longer to import than a short command takes to answer.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(len(FORMS), 1 + len(DIMENSIONS))
    spiral = make_spiral()
    shown = torch.cat([spiral, *(trial.points for _, _, trial in panels)])
    limit = 1.1 * shown.abs().max().item()
    for axes, form in zip(grid[:, 0], FORMS, strict=True):
        _plot(axes, spiral, "input", limit)
        axes.set_ylabel(form)
    for axes, (_, n, trial) in zip(grid[:, 1:].flat, panels, strict=True):
        _plot(axes, trial.points, f"n = {n}: error {trial.error:.3f}", limit)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


def _plot(axes: Any, points: Tensor, title: str, limit: float) -> None:
    axes.scatter(*points.numpy().T, c=range(len(points)), cmap="turbo", s=3)
    axes.set_title(title, fontsize=10)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[], aspect="equal")
