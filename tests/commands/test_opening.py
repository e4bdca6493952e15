from pathlib import Path

from mnv2_dense.build import build_task
from mnv2_dense.commands.opening import load_weights, open_checkpoint
from tests.commands.tiny import checkpoint


def test_a_checkpoint_opens_by_itself(trained_run: Path) -> None:
    config, categories, task = open_checkpoint(
        trained_run / "checkpoints" / "last.ckpt", ["decode.max_detections=7"]
    )
    assert config.decode.max_detections == 7
    assert config.backbone.width_mult == 0.35
    assert len(categories) == 10
    stored = checkpoint(trained_run)["state_dict"]
    assert all(stored[name].equal(tensor) for name, tensor in task.state_dict().items())


def test_weights_alone_can_be_loaded(trained_run: Path, shapes_set: Path, tmp_path: Path) -> None:
    last = trained_run / "checkpoints" / "last.ckpt"
    config, categories, trained = open_checkpoint(last)
    task = build_task(config, categories)
    load_weights(task, last)
    ours, theirs = task.state_dict(), trained.state_dict()
    assert all(ours[name].equal(theirs[name]) for name in theirs)
