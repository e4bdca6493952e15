from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mnv2_dense.builders import Task, build_task
from mnv2_dense.builders.opening import stored_config
from mnv2_dense.commands.beginning import begin, network_of, start_from
from mnv2_dense.config.schema import Config
from mnv2_dense.errors import UserError
from mnv2_dense.structures import Category
from tests.commands.classifiers import classifier_checkpoint
from tests.commands.tiny import config_of, segmentation_config_of

CAT, DOG = Category(1, "cat"), Category(2, "dog")
CLASSES = (CAT, DOG)
NOWHERE = Path("data")
CONFIGS: dict[str, Callable[..., Config]] = {
    "detector": partial(config_of, NOWHERE),
    "segmenter": partial(segmentation_config_of, NOWHERE),
    "auxiliary": partial(segmentation_config_of, NOWHERE, "head.auxiliary=true"),
    "lr_aspp": partial(segmentation_config_of, NOWHERE, "head.name=lr_aspp"),
}
CLASS_TENSORS = {"detector": 8, "segmenter": 2, "auxiliary": 4, "lr_aspp": 4}
"""Weight and bias of every layer of class logits; the detector has four levels."""

all_kinds = pytest.mark.parametrize("kind", CONFIGS)


def config(kind: str = "detector", *overrides: str) -> Config:
    # A segmenter's classes would have to be those that its config names.
    free = () if kind == "detector" else ("data.classes=null",)
    return CONFIGS[kind](*free, *overrides)


def random_task(given: Config, categories: tuple[Category, ...] = CLASSES, seed: int = 0) -> Task:
    """A task all of whose tensors are drawn, so that none is as another task's by chance."""
    torch.manual_seed(seed)
    task = build_task(given, categories)
    for tensor in task.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 1)
    return task


def write(task: Task, path: Path) -> Path:
    torch.save({"state_dict": task.state_dict(), "mnv2_dense": task.card}, path)
    return path


def copied(task: Task) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in task.state_dict().items()}


def refusal(given: Config, path: Path, categories: tuple[Category, ...] = CLASSES) -> str:
    """The message; nothing was loaded."""
    task = random_task(given, categories)
    before = copied(task)
    with pytest.raises(UserError) as caught:
        start_from(task, given, path)
    assert all(torch.equal(before[name], each) for name, each in task.state_dict().items())
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


@all_kinds
def test_the_same_classes_take_every_tensor(tmp_path: Path, kind: str) -> None:
    given = config(kind)
    source, task = random_task(given, seed=1), random_task(given)
    message = start_from(task, given, write(source, tmp_path / "a.ckpt"))
    expected = source.state_dict()
    assert all(torch.equal(expected[name], each) for name, each in task.state_dict().items())
    assert message == f"{tmp_path / 'a.ckpt'}: {len(expected)} tensors loaded"


@all_kinds
@pytest.mark.parametrize("classes", [(CAT,), (DOG, CAT), (CAT, Category(2, "bird"))])
def test_other_classes_keep_their_layers_random(
    tmp_path: Path, kind: str, classes: tuple[Category, ...]
) -> None:
    """Other names alone are other classes, too: no shape would say so."""
    given = config(kind)
    source, task = random_task(given, seed=1), random_task(given, classes)
    random, expected = copied(task), source.state_dict()
    message = start_from(task, given, write(source, tmp_path / "a.ckpt"))
    kept = []
    for name, tensor in task.state_dict().items():
        if not torch.equal(tensor, random[name]) and torch.equal(tensor, expected[name]):
            continue
        assert torch.equal(tensor, random[name]), name
        if tensor.is_floating_point():
            kept.append(name)
    layers = {name.rpartition(".")[0].removeprefix("network.") for name in kept}
    assert layers == set(network_of(task).class_layers)
    assert len(kept) == CLASS_TENSORS[kind]
    assert message.endswith(
        f"a.ckpt: {len(expected) - len(kept)} tensors loaded; {len(kept)} of the layers of class "
        "logits random, as the classes differ"
    )


def test_what_begins_is_said_and_compiled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[nn.Module] = []

    def note(module: nn.Module) -> None:
        compiled.append(module)

    monkeypatch.setattr(nn.Module, "compile", note)
    given = config("detector", "backbone.weights=not_read.pth", "training.compile=true")
    source, task = random_task(given, seed=1), random_task(given)
    path = write(source, tmp_path / "a.ckpt")
    begin(task, given, path)
    assert capsys.readouterr().out == f"{path}: {len(source.state_dict())} tensors loaded\n"
    assert compiled == [task.network]
    plain = config()
    task = random_task(plain)
    begin(task, plain, None)
    assert capsys.readouterr().out == ""
    assert len(compiled) == 1


def test_a_backbone_begins_with_its_own_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = random_task(config(), seed=1)
    path = write(source, tmp_path / "a.ckpt")
    given = config("detector", f"backbone.weights={path}")
    task = random_task(given)
    begin(task, given, None)
    assert f"backbone.weights={path}: " in capsys.readouterr().out
    assert torch.equal(
        network_of(task).backbone.state_dict()["stem.0.weight"],
        network_of(source).backbone.state_dict()["stem.0.weight"],
    )


def test_a_run_that_goes_on_reads_no_weights_to_begin_with() -> None:
    given = config("detector", "backbone.weights=gone.pth")
    task = random_task(given)
    before = copied(task)
    begin(task, given, None, resumed=True)
    assert all(torch.equal(before[name], each) for name, each in task.state_dict().items())


# What is refused


def test_another_task_is_refused(tmp_path: Path) -> None:
    path = write(random_task(config("segmenter")), tmp_path / "a.ckpt")
    message = refusal(config(), path)
    assert "a checkpoint of task segmentation, but the config is of task detection" in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("backbone.width_mult=0.5", "weights of another architecture: "),
        ("head.width_mult=0.5", "weights of another architecture: "),
        ("backbone.shortcut=none", "was trained with backbone.shortcut=bottleneck"),
        ("backbone.padding=same", "backbone.padding=symmetric (not same)"),
        ("backbone.norm_epsilon=0.1", "backbone.norm_epsilon=null (not 0.1)"),
        ("anchors.min_scale=0.1", "anchors.min_scale=0.15 (not 0.1)"),
        ("input.std=[1, 1, 1]", "was trained with input.std=[58.395, 57.12, 57.375] (not [1"),
    ],
)
def test_another_network_is_refused(tmp_path: Path, override: str, words: str) -> None:
    path = write(random_task(config()), tmp_path / "a.ckpt")
    for classes in (CLASSES, (CAT,)):
        assert words in refusal(config("detector", override), path, classes)


@pytest.mark.parametrize(
    "key", ["activation=relu6", "align_corners=false", "norm_epsilon=0.1", "atrous_rates=[1, 2, 3]"]
)
def test_another_head_is_refused_though_its_weights_fit(tmp_path: Path, key: str) -> None:
    dense = ("head.aspp=dense",)
    path = write(random_task(config("segmenter", *dense)), tmp_path / "a.ckpt")
    message = refusal(config("segmenter", *dense, f"head.{key}"), path)
    assert f"was trained with head.{key.partition('=')[0]}=" in message


def test_rates_of_no_branches_are_no_difference(tmp_path: Path) -> None:
    path = write(random_task(config("segmenter")), tmp_path / "a.ckpt")
    given = config("segmenter", "head.atrous_rates=[1, 2, 3]")
    assert "tensors loaded" in start_from(random_task(given), given, path)


@pytest.mark.parametrize(("stored", "given"), [("null", "0.001"), ("0.001", "null")])
def test_an_epsilon_of_null_is_the_releases(tmp_path: Path, stored: str, given: str) -> None:
    key = "backbone.norm_epsilon"
    path = write(random_task(config("detector", f"{key}={stored}")), tmp_path / "a.ckpt")
    ours = config("detector", f"{key}={given}")
    assert "tensors loaded" in start_from(random_task(ours), ours, path)


def test_all_keys_to_set_are_in_one_message(tmp_path: Path) -> None:
    path = write(random_task(config()), tmp_path / "a.ckpt")
    keys = ("anchors.max_scale=0.9", "backbone.padding=same", "input.mean=[0, 0, 0]")
    message = refusal(config("detector", *keys), path)
    assert all(f"{key.partition('=')[0]}=" in message for key in keys)


@pytest.mark.parametrize(
    ("override", "note"),
    [
        ("input.resize=legacy_bilinear", "input.resize=bilinear (not legacy_bilinear)"),
        ("loss.classification=sigmoid", "loss.classification=softmax (not sigmoid)"),
    ],
)
def test_what_training_can_change_is_noted(tmp_path: Path, override: str, note: str) -> None:
    path = write(random_task(config()), tmp_path / "a.ckpt")
    given = config("detector", override)
    message = start_from(random_task(given), given, path)
    assert message.endswith(f" tensors loaded\nnote: they were trained with {note}")


def test_other_classes_excuse_no_other_difference(tmp_path: Path) -> None:
    source = random_task(config())
    content: dict[str, Any] = {"state_dict": copied(source), "mnv2_dense": source.card}
    del content["state_dict"]["network.backbone.stem.0.weight"]
    torch.save(content, tmp_path / "a.ckpt")
    message = refusal(config(), tmp_path / "a.ckpt", (CAT,))
    assert "network.backbone.stem.0.weight is not in the file" in message


def test_what_is_no_whole_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save(classifier_checkpoint(), path)
    assert "a classifier, which has no task to train" in refusal(config(), path)
    assert "give it as backbone.weights" in refusal(config(), path)
    torch.save(random_task(config()).state_dict(), path)
    assert "not a checkpoint of mnv2_dense (it has no config inside)" in refusal(config(), path)
    path.write_bytes(b"no checkpoint")
    assert "cannot be read as a checkpoint" in refusal(config(), path)
    path.unlink()
    assert "no such checkpoint file" in refusal(config(), path)


def test_a_checkpoint_that_says_nonsense_is_refused(tmp_path: Path) -> None:
    source = random_task(config())
    path = write(source, tmp_path / "a.ckpt")
    content = torch.load(path, weights_only=True)
    for stored in ({"task": "detection", "input": {"mean": 3}}, "detection", [1]):
        content["mnv2_dense"]["config"] = stored
        torch.save(content, path)
        assert "a.ckpt: " in refusal(config(), path)


def test_a_checkpoints_own_config_fits_its_weights(tmp_path: Path) -> None:
    path = write(random_task(config("auxiliary"), seed=1), tmp_path / "a.ckpt")
    given = stored_config(path, ["optimizer.learning_rate=0.5"])
    assert given.optimizer.learning_rate == 0.5
    assert "tensors loaded" in start_from(random_task(given), given, path)
