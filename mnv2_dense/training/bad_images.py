"""Names and counts the pictures that `data.on_bad_image=skip` left out of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from mnv2_dense.errors import UserError
from mnv2_dense.ops.processes import gather
from mnv2_dense.ops.texts import list_first


class Unmeasured(NamedTuple):
    """What an evaluation left out.

    Attributes:
        problems: File and fault of each picture, in all processes.
        images: Pictures of the set, those included.
    """

    problems: Sequence[str] = ()
    images: int = 0

    def message(self) -> str | None:
        """One line for the terminal; None if every picture was measured."""
        if not self.problems:
            return None
        return (
            f"{len(self.problems)} of {self.images} pictures could not be used and were not "
            f"measured: {list_first(self.problems)}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {
            "count": len(self.problems),
            "of": self.images,
            "pictures": list(self.problems),
        }


class BadImages(Callback):
    """Gathers what the batches of all processes say of bad pictures; names each once.

    Args:
        file: Gets a line per bad picture of the run, training and validation; a resumed run
            adds to it. None only counts what validation leaves out.

    Attributes:
        unmeasured: What the last validation left out.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.unmeasured = Unmeasured()
        self._met: list[str] = []
        self._named: set[str] = set()
        self._left_out: list[str] = []
        self._measured = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes up what a run that is resumed has named."""
        if self.file is not None and self.file.exists():
            self._named.update(self.file.read_text(encoding="utf-8").splitlines())

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Notes what was replaced in a batch."""
        self._met += batch.bad_images

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to count."""
        self._left_out.clear()
        self._measured = 0

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Notes what a batch lacks."""
        self._left_out += batch.bad_images
        self._measured += len(batch.images)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Adds up all processes, before the scores are computed.

        Raises:
            UserError: No picture could be measured.
        """
        shares = gather((self._left_out, self._measured))
        problems = [problem for left_out, _ in shares for problem in left_out]
        measured = sum(count for _, count in shares)
        if not measured:
            raise UserError(
                f"none of the {len(problems)} pictures to measure can be used: "
                f"{list_first(problems)}"
            )
        self.unmeasured = Unmeasured(problems, len(problems) + measured)
        self._met += self._left_out

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Names the epoch's new ones, of training and of the validation within it."""
        self._name([problem for met in gather(self._met) for problem in met], trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Names those of this process, since the others may not answer any more."""
        self._name(self._met, trainer)

    def _name(self, met: Sequence[str], trainer: Trainer) -> None:
        new = [problem for problem in dict.fromkeys(met) if problem not in self._named]
        self._met = []
        self._named.update(new)
        if not new or not trainer.is_global_zero:
            return
        where = ""
        if self.file is not None:
            with self.file.open("a", encoding="utf-8") as file:
                file.writelines(f"{problem}\n" for problem in new)
            where = f" (all in {self.file})"
        print(f"{len(new)} pictures cannot be used and are skipped{where}: {list_first(new)}",
              flush=True)  # fmt: skip


def unmeasured(trainer: Trainer) -> Unmeasured:
    """What the last validation of a trainer left out."""
    found = [each.unmeasured for each in trainer.callbacks if isinstance(each, BadImages)]  # pyrefly: ignore[missing-attribute]
    return found[0] if found else Unmeasured()
