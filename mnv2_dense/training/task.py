"""What training and evaluation have in common, whatever the network predicts."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mnv2_dense.training.checkpoint_io import CARD
from mnv2_dense.training.optimizer import set_options
from mnv2_dense.training.watch import watch_of

PerChannel = tuple[float, float, float]


class LossTerms(Protocol):
    """A named tuple of a loss's weighted parts: scalars, or None for a part that is not in use."""

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        ...

    def _asdict(self) -> dict[str, Any]: ...


class Scores(Protocol):
    """What a metric computes over a set."""

    @property
    def summary(self) -> dict[str, float]:
        """The numbers that are logged, by name."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        ...


class SetMetric(Protocol):
    """Collects predictions over a set."""

    def compute(self) -> Any:
        """The `Scores` of what was collected, in all processes."""
        ...

    def reset(self) -> None:
        """Begins anew."""
        ...


class DenseTask(pl.LightningModule, ABC):
    """Normalisation, loss, scores over a set, optimiser and checkpoint card.

    A task says what its loss is of (`losses`), and what it does with a validation batch.

    Args:
        network: Normalised images to raw predictions.
        metric: Collects predictions over a set; None where only prediction is wanted.
        mean: Subtracted from RGB values 0-255.
        std: Divides them after that.
        make_optimizer: Builds the optimiser for a module.
        learning_rate_factor: Share of the peak rate, of (step, total steps).
        card: What a checkpoint says of itself: version, config, categories.
        channels_last: Memory format of the images.
    """

    score: ClassVar[str]
    """Name of the score, in the log, that chooses the best checkpoint."""
    takes_turns: ClassVar[bool] = False
    """Whether a step is about one of several losses: those are logged, and no loss of the step."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        metric: SetMetric | None,
        mean: PerChannel,
        std: PerChannel,
        make_optimizer: Callable[[nn.Module], Optimizer],
        learning_rate_factor: Callable[[int, int], float],
        card: dict[str, Any],
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.metric = metric
        self.make_optimizer = make_optimizer
        self.learning_rate_factor = learning_rate_factor
        self.card = card
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.scores: Any = None  # the task's own `Scores`, once it has been evaluated
        self.keep_results = False
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @abstractmethod
    def losses(self, batch: Any) -> LossTerms:
        """The loss of a training batch, term by term."""

    def setup(self, stage: str) -> None:
        """Lays the weights out as the images, or every step would convert them."""
        self.network.to(memory_format=self.memory_format)  # pyrefly: ignore[no-matching-overload]

    def normalize(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] uint8 RGB as the network takes them."""
        values = images.to(torch.float32, memory_format=self.memory_format, copy=True)
        return values.sub_(self.mean).div_(self.std)

    def forward(self, images: Tensor) -> Any:
        """Raw predictions for images [B, 3, H, W] uint8 RGB."""
        return self.network(self.normalize(images))

    def training_step(self, batch: Any, _index: int) -> Tensor:
        """Loss of a batch, logged term by term."""
        terms = self.losses(batch)
        named = {name: value for name, value in terms._asdict().items() if value is not None}
        losses = {"loss": terms.total, **named}
        to_learn = watch_of(self.trainer).check(self, losses, batch.image_ids)
        for name, value in losses.items():
            hidden = self.takes_turns and name == "loss"
            # None is Lightning's default: True would warn where there is no logger.
            logger = False if hidden else None
            self.log(f"train/{name}", value, prog_bar=not hidden, logger=logger)
        return to_learn

    def measure_nothing(self) -> None:
        """Logs a loss without weight, where a process has no picture but others wait for it."""
        self.log("val/loss", torch.zeros((), device=self.device), batch_size=0, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Logs the scores of the set."""
        if self.metric is None:
            return
        scores: Scores = self.metric.compute()
        self.keep()
        self.metric.reset()
        self.scores = scores
        values = {f"val/{name}": value for name, value in scores.summary.items()}
        self.log_dict(values, sync_dist=True)

    def keep(self) -> None:
        """Takes from the metric, before it is emptied, what `keep_results` asks for."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser over the network, its rate changed every step."""
        optimizer = self.make_optimizer(self.network)
        total = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimizer, lambda step: self.learning_rate_factor(step, total))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_start(self) -> None:
        """Gives a resumed run its config's options, where Lightning has put the checkpoint's."""
        (optimizer,) = self.trainer.optimizers
        schedule = self.trainer.lr_scheduler_configs[0].scheduler
        assert isinstance(schedule, LambdaLR)
        set_options(optimizer, schedule, self.make_optimizer(self.network))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Puts the card into the checkpoint, so that evaluation needs no YAML."""
        checkpoint[CARD] = self.card
        # Other programs may want weights in the usual layout, as safetensors does.
        for key in ("state_dict", "current_model_state"):
            for name, value in checkpoint.get(key, {}).items():
                checkpoint[key][name] = value.contiguous()
