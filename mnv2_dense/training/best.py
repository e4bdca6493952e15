"""The best checkpoint of a run, kept also when the run's folder has moved."""

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint


class BestCheckpoint(ModelCheckpoint):
    """Keeps `best.ckpt`, the checkpoint with the highest score so far.

    Differs from Lightning, which remembers the best by its absolute path and forgets its score
    when the folder has another name: a run that is moved, or mounted elsewhere, and resumed
    would overwrite a better checkpoint by a worse one.

    Args:
        folder: The run's checkpoints.
        monitor: Name of the score.
    """

    def __init__(self, folder: Path, monitor: str) -> None:
        super().__init__(folder, "best", monitor=monitor, mode="max", enable_version_counter=False)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over score and path, the path as it is now."""
        self.current_score = state_dict["current_score"]  # Lightning leaves it out.
        best = Path(str(self.dirpath)) / "best.ckpt"
        score = state_dict["best_model_score"]
        # A run that was killed right after its first evaluation has a best, and no score of it.
        if best.is_file() and score is not None:
            moved = {"dirpath": self.dirpath, "best_k_models": {str(best): score}}
            paths = dict.fromkeys(("best_model_path", "kth_best_model_path"), str(best))
            state_dict = {**state_dict, **moved, **paths}
        super().load_state_dict(state_dict)
