from pathlib import Path

import pytest

from mnv2_dense.config.loader import load_config
from tools.compare.comparison import Side
from tools.compare.detection_side import SIDE as DETECTION
from tools.compare.product import RECIPES, median_seconds, settle, shared_overrides
from tools.compare.runs import Run
from tools.compare.segmentation_side import SIDE as SEGMENTATION

RUN = Run("detection", "coco", "random", "ssdlite", "product", 3, 300, 16, 320)


@pytest.mark.parametrize("side", [DETECTION, SEGMENTATION], ids=lambda side: side.task)
def test_every_network_and_data_set_has_a_config(side: Side, tmp_path: Path) -> None:
    for network, own in side.own.items():
        for places in side.data.values():
            run = RUN._replace(task=side.task, network=network)
            overrides = [*shared_overrides(run, tmp_path), *places(tmp_path), *own]
            config = load_config(RECIPES / f"{side.task}.yaml", settle(side.task, overrides))
            training = config.training
            assert (training.seed, training.max_steps) == (3, 300)
            # Measured at the end alone: no checkpoint is chosen by its score.
            assert training.validate_every == training.epochs > 300
            assert config.data.batch_size == 16
            assert config.input.height == config.input.width == 320
            assert config.data.root == str(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "rate"),
    [
        (["data.batch_size=8"], 0.001),
        (["data.batch_size=16"], 0.002),
        (["data.batch_size=16", "backbone.weights=w.ckpt"], 0.001),
    ],
)
def test_the_rate_follows_batch_and_weights(overrides: list[str], rate: float) -> None:
    assert settle("detection", overrides) == [*overrides, f"optimizer.learning_rate={rate}"]


def test_seconds_of_a_step_are_the_median_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("step,train/images_per_second,val/mAP\n5,4,\n10,2,\n15,8,\n15,,0.5\n")
    assert median_seconds(log, batch=8) == 2.0
