import torch

from mnv2_dense.benchmarking.training.subjects import CLASSES, Subject, hand_step


def test_a_batch_of_augmented_pictures(subject: Subject) -> None:
    assert subject.batch.images.shape == (2, 3, 64, 64)
    assert subject.batch.images.dtype == torch.uint8


def test_the_network_is_always_the_same_with_the_classes_of_the_paper(subject: Subject) -> None:
    first, last = subject.build(), subject.build(channels_last=False)
    assert first.training
    state = last.network.state_dict()
    assert all(torch.equal(each, state[name]) for name, each in first.network.state_dict().items())
    assert len(first.card["categories"]) == CLASSES[subject.config.task]
    weight = first.network.get_parameter("backbone.stem.0.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_step_by_hand_changes_the_weights(subject: Subject) -> None:
    task = subject.build()
    before = {name: each.clone() for name, each in task.network.named_parameters()}
    hand_step(task, subject.batch)()
    moved = [name for name, each in task.network.named_parameters() if not each.equal(before[name])]
    assert len(moved) > len(before) / 2
