"""What to do when the numbers of a run have gone astray."""

from pathlib import Path

from lightning.pytorch import Trainer

from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.ops.state_dict import list_non_finite
from mnv2_dense.training.runs import checkpoint_folder


def advise(trainer: Trainer, run: Path | None, step: int) -> str:
    """The keys to change, and the checkpoints from before a step to go on from."""
    intact, again = "the checkpoints saved before it are intact", ""
    if run is not None and (good := list_good_checkpoints(checkpoint_folder(run), step)):
        intact += f": {', '.join(good)}"
        again = ", and go on from a checkpoint with --resume PATH"
    elif run is not None:
        intact = "no checkpoint is from before it"
    norm = trainer.gradient_clip_val
    clip = "set" if norm is None else f"lower (now {norm:g})"
    exact = "" if str(trainer.precision).startswith("32") else ", or set training.precision=32"
    return (
        f"{intact}. Lower optimizer.learning_rate, lengthen schedule.warmup_steps or {clip} "
        f"training.gradient_clip_norm{exact}{again}"
    )


def list_good_checkpoints(folder: Path, step: int) -> list[str]:
    """A run's checkpoints of at most `step` steps whose weights are finite, oldest first."""
    found: list[tuple[int, str]] = []
    for path in folder.glob("*.ckpt"):
        try:
            content = read_checkpoint(path)
        except UserError:
            continue
        taken, state = content.get("global_step"), content.get("state_dict", {})
        if isinstance(taken, int) and taken <= step and not list_non_finite(state):
            found.append((taken, f"{path} (after {taken} step{'s' * (taken != 1)})"))
    return [text for _, text in sorted(found)]
