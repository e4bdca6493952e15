"""What may be said of a classifier: no task to train, but a network that names pictures."""

from typing import Literal

from pydantic import model_validator

from mnv2_dense.config.sections import Backbone, Input, InputSide, Positive, RunName, Section


class ClassifierInput(Input):
    """Size and normalisation of the middle of the picture that the network is shown."""

    height: InputSide = 224
    """Height of the network's input in pixels (published weights: 96 to 224)."""
    width: InputSide = 224
    """Width of the network's input in pixels."""


class ClassifierBackbone(Backbone):
    """The network below the classifier; without `width_mult` the weights say how wide it is."""

    norm_epsilon: Positive | None = 1e-5
    """Epsilon of the batch norms: torchvision's 1e-5; null takes the TF release's 0.001."""

    @model_validator(mode="after")
    def _fits_a_classifier(self) -> "ClassifierBackbone":
        if self.weights is not None:
            raise ValueError("weights is not for classifiers; --weights says whose they are")
        if self.output_stride != 32:
            raise ValueError(f"output_stride is 32 in classifiers, not {self.output_stride}")
        return self


class ClassifierConfig(Section):
    """How a classifier is built and fed; every key has the value of torchvision's weights."""

    task: Literal["classification"] = "classification"
    """What the network predicts; a classifier is not trained here."""
    name: RunName = "classifier"
    """Name of the network: letters, digits, `_`, `.` and `-`."""
    input: ClassifierInput = ClassifierInput()
    backbone: ClassifierBackbone = ClassifierBackbone()
