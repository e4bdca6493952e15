"""What a network says in the end, beside what a .tflite file says: labels, boxes, names."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from mnv2_dense.importing.graph import Graph
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.parity.agreement import Agreement
from mnv2_dense.parity.runtime import Runtime
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.structures import ImageSize

TOLERANCE = 1e-3
"""Largest difference of logits, scores or box codes from a float file's."""
EQUAL_PIXELS = 0.9999
"""Least share of pixels that a float file's label map and ours have alike."""
_AFTER_LOGITS = ("arg_max", "identity", "cast", "softmax", "reshape", "squeeze", "expand_dims")


class Answers(ABC):
    """The outputs of both, over all pictures so far.

    Attributes:
        agreements: Of the values that the outputs are made of.
    """

    agreements: list[Agreement]

    @abstractmethod
    def update(self, name: str, outputs: Any, runtime: Runtime) -> None:
        """Counts another picture: our network's outputs, and the runtime after its run."""

    @abstractmethod
    def lines(self) -> list[str]:
        """How the two agree, in words."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """The same, as JSON values."""

    def misses(self) -> list[str]:
        """What a float file's import must reach, and this does not."""
        return [
            f"{each.name} differ by up to {each.difference:.3g}; at most {TOLERANCE:g} is allowed"
            for each in self.agreements
            if not each.difference <= TOLERANCE
        ]

    def rounded_misses(self) -> list[str]:
        """What a quantised file's import must reach, beside its layers, and this does not."""
        return []


class LabelMaps(Answers):
    """A segmenter's logits and label maps at the input's size.

    Args:
        graph: The file.
        align_corners: Of our up-sampling.
    """

    def __init__(self, graph: Graph, *, align_corners: bool) -> None:
        self.logits = logits_of(graph)
        self.align_corners = align_corners
        self.agreements = [Agreement("logits")]
        self.pixels = self.equal = 0

    def update(self, name: str, outputs: SegmenterOutputs, runtime: Runtime) -> None:
        """See `Answers`."""
        theirs = runtime.tensor(self.logits)
        size = ImageSize(*theirs.shape[1:3])
        ours = resize_map(outputs.class_logits, size, self.align_corners)
        ours = ours.permute(0, 2, 3, 1).numpy()
        self.agreements[0].update(ours, theirs)
        equal = ours.argmax(-1) == theirs.argmax(-1)
        self.equal += int(equal.sum())
        self.pixels += equal.size

    @property
    def share(self) -> float:
        """Share of the pixels that have the same label."""
        return self.equal / max(self.pixels, 1)

    def lines(self) -> list[str]:
        """See `Answers`."""
        return [f"label maps: {self.share:.4%} of {self.pixels} pixels are equal"]

    def as_dict(self) -> dict[str, Any]:
        """See `Answers`."""
        return {"equal_pixels": self.share, "pixels": self.pixels}

    def misses(self) -> list[str]:
        """See `Answers`."""
        if self.share >= EQUAL_PIXELS:
            return super().misses()
        found = f"{self.share:.4%} of the pixels have the same label"
        return [*super().misses(), f"{found}; at least {EQUAL_PIXELS:.2%} must"]


class Names(Answers):
    """A classifier's probabilities and likeliest classes.

    Args:
        graph: The file.
    """

    def __init__(self, graph: Graph) -> None:
        self.output = graph.outputs[0]
        self.makes_scores = any(
            node.op == "softmax" and self.output in node.outputs for node in graph.nodes
        )
        self.agreements = [Agreement("probabilities")]
        self.pictures = 0
        self.others: list[dict[str, Any]] = []

    def update(self, name: str, outputs: Tensor, runtime: Runtime) -> None:
        """See `Answers`."""
        theirs = runtime.tensor(self.output).ravel()
        if not self.makes_scores:
            theirs = torch.from_numpy(theirs).softmax(0).numpy()
        ours = outputs.softmax(1)[0].numpy()
        self.agreements[0].update(ours, theirs)
        self.pictures += 1
        best, wanted = int(ours.argmax()), int(theirs.argmax())
        # Rounded scores have ties; each of the tied classes is the likeliest.
        if theirs[best] < theirs[wanted]:
            labels = {"ours": best, "theirs": wanted}
            scores = {
                f"{side}_scores": [float(values[best]), float(values[wanted])]
                for side, values in (("our", ours), ("their", theirs))
            }
            self.others.append({"picture": name, **labels, **scores})

    def lines(self) -> list[str]:
        """See `Answers`."""
        same = self.pictures - len(self.others)
        shown = [
            f"  {each['picture']}: ours {each['ours']}, the file's {each['theirs']}; their scores "
            + " and ".join(
                f"{first:.4f}, {second:.4f} ({side})"
                for side, (first, second) in (
                    ("ours", each["our_scores"]),
                    ("the file's", each["their_scores"]),
                )
            )
            for each in self.others
        ]
        return [f"likeliest class: the same for {same} of {self.pictures} pictures", *shown]

    def as_dict(self) -> dict[str, Any]:
        """See `Answers`."""
        return {"pictures": self.pictures, "other_class": self.others}

    def misses(self) -> list[str]:
        """See `Answers`."""
        if not self.others:
            return super().misses()
        return [*super().misses(), f"{len(self.others)} pictures have another likeliest class"]


def logits_of(graph: Graph) -> str:
    """The tensor of a segmenter's logits at their last size."""
    makers = {output: node for node in graph.nodes for output in node.outputs}
    name = graph.outputs[0]
    while (node := makers.get(name)) is not None and node.op in _AFTER_LOGITS:
        name = node.inputs[0]
    return name
