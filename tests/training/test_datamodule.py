import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mnv2_dense.photometric import Distortion
from mnv2_dense.structures import SampleKey, SegmentationBatch
from mnv2_dense.training.datamodule import DataModule, lost_loader
from tests.training.tiny import TinyDataset, TinyModule, tiny_data, tiny_trainer


def keys(loader: Any) -> list[tuple[int, int]]:
    return [tuple(key) for batch in loader for key in batch.keys]


def test_last_incomplete_training_batch_is_left_out() -> None:
    loader = tiny_data(train=7, batch_size=3).train_dataloader()
    assert [len(batch.keys) for batch in loader] == [3, 3]


def test_data_smaller_than_one_batch_is_kept() -> None:
    loader = tiny_data(train=2, batch_size=3).train_dataloader()
    assert [len(batch.keys) for batch in loader] == [2]


@pytest.mark.parametrize(("images", "batches"), [(13, [3, 3]), (11, [3]), (5, [3]), (3, [2])])
def test_a_process_of_two_takes_its_half_of_every_step(images: int, batches: list[int]) -> None:
    """11 and 3: not one more step than one process takes with batches of 6."""
    data = tiny_data(train=images, batch_size=3)
    data.trainer = SimpleNamespace(  # pyrefly: ignore[bad-assignment]
        global_rank=1,
        world_size=2,
        accumulate_grad_batches=1,
        training=False,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )
    assert [len(batch.keys) for batch in data.train_dataloader()] == batches


def test_validation_keeps_order_and_every_sample() -> None:
    assert keys(tiny_data(val=7, batch_size=3).val_dataloader()) == [(i, 0) for i in range(7)]


def test_no_validation_data_means_no_loader() -> None:
    assert tiny_data(val=0).val_dataloader() == []


def test_lightning_sets_the_epoch(tmp_path: Path) -> None:
    module = TinyModule()
    tiny_trainer(tmp_path, [], max_epochs=3).fit(module, datamodule=tiny_data(train=4))
    assert [key.epoch for key in module.trained] == [0] * 4 + [1] * 4 + [2] * 4
    orders = [[key.index for key in module.trained[at : at + 4]] for at in (0, 4, 8)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert orders[0] != orders[1] or orders[1] != orders[2]
    assert {key.epoch for key in module.validated} == {0}


class Probe(TinyDataset):
    """Reports the state of the worker in place of a picture."""

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, SampleKey]:
        ignores = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        return torch.tensor([ignores, torch.get_num_threads()]), key


def test_workers_ignore_ctrl_c_and_give_the_batches_of_the_process_itself() -> None:
    arguments: dict[str, Any] = {"collate": list, "batch_size": 2, "val_batch_size": 2}

    def batches(num_workers: int) -> list[Any]:
        data = DataModule(
            train_dataset=Probe(6), num_workers=num_workers, seed=1, **arguments
        ).train_dataloader()
        assert isinstance(data, DataLoader)
        assert data.persistent_workers is (num_workers > 0)
        return [sample for batch in data for sample in batch]

    with_worker = batches(1)
    assert all(state.tolist() == [1, 1] for state, _ in with_worker)
    assert [key for _, key in with_worker] == [key for _, key in batches(0)]


def test_loading_leaves_the_global_random_numbers_alone() -> None:
    data = tiny_data().train_dataloader()
    before = torch.get_rng_state()
    list(data)
    assert torch.equal(before, torch.get_rng_state())


def test_a_lost_loader_is_found_behind_other_errors() -> None:
    text = "DataLoader worker (pid 7) is killed by signal: Killed."
    behind = KeyError("of the clean-up")
    behind.__context__ = RuntimeError(text)
    assert lost_loader(behind) == text
    assert lost_loader(RuntimeError("another")) is None


def test_colours_that_were_left_to_the_device_are_distorted_there() -> None:
    images = torch.full((2, 3, 4, 4), 100, dtype=torch.uint8)
    distortions = torch.tensor([Distortion(), Distortion(brightness=20)])
    batch = SegmentationBatch(images, torch.zeros(2, 4, 4), [], ["a", "b"])
    data = tiny_data()
    assert data.on_after_batch_transfer(batch, 0) is batch
    done = data.on_after_batch_transfer(batch._replace(distortions=distortions), 0)
    assert done.images.unique(dim=1).unique(dim=2).flatten(1)[:, 0].tolist() == [100, 120]
    assert (done.distortions, done.image_ids) == (None, ["a", "b"])
    tiny = next(iter(data.train_dataloader()))
    assert data.on_after_batch_transfer(tiny, 0) is tiny
