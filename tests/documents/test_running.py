"""The documents' commands, run on the built-in scenes where there is all that they name."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnv2_dense.config.loader import load_any_config
from mnv2_dense.config.shipped import find_config
from mnv2_dense.exporting.formats import FORMATS
from tests.commands.tiny import CONFIG, NETWORK, RUN, SEGMENTATION_NETWORK, only_run, run_tool
from tests.documents.reading import DOCUMENTS, Call, read_calls, read_commands
from tests.prediction.clips import write_clip

NOT_RUN = {
    "benchmark": "takes minutes and more",
    "check_score": "needs a run of a whole recipe",
    "demo": "runs until it is stopped",
    "download_data": "needs the network",
    "import_weights": "needs files of others",
    "imagenet": "needs the network",
    "0": "needs a camera",
    "torchrun": "starts processes on several machines",
    "srun": "starts processes on several machines",
    "sbatch": "starts processes on several machines",
    "training.devices=4": "needs four GPUs",
    "training.devices=8": "needs eight GPUs",
    "--int8": "is refused for a network that is hardly trained",
    "--resume": "needs a run that was stopped",
    "--help": "is of the program, not of a command",
}
"""What a command names that is checked without being run, and why."""
NAMES = ("ssdlite_shapes", "deeplabv3_shapes", "joint_shapes")
TRAINED = [f"runs/{name}/DATE-TIME" for name in NAMES]
PICTURES = ("photos", "PICTURE_OR_FOLDER", "PICTURES", "PICTURE", "data/pictures")
DETECTORS = ("BEST.ckpt", "best.ckpt", "NAME.ckpt", "ssdlite.ckpt")
SEGMENTERS = ("CHECKPOINT.ckpt", "deeplab.ckpt")
SHAPES = (
    "MY_FOLDER",
    "FOLDER",
    "data/shapes",
    "data/coco",
    "path/to/coco",
    "data/VOCdevkit/VOC2012",
)
STAND_INS = {"CHECKPOINT": "CHECKPOINT.ckpt", "MODEL": "MODEL.onnx"}
TASKS = ("detection", "segmentation")
SMALL = {
    "detection": (
        *(*NETWORK, "backbone.weights=null", "data.num_classes=null"),
        *("training.precision=32", "optimizer.learning_rate=0.003"),
    ),
    "segmentation": SEGMENTATION_NETWORK,
    "joint": (
        *(text for text in RUN if not text.startswith("data.")),
        *(f"{task}.{text}" for task in TASKS for text in RUN if text.startswith("data.")),
    ),
}
"""Changes to a config of each task that train it in seconds."""


def read_runnable() -> Iterator[object]:
    """Each different call that can be run, named by its place."""
    seen = []
    for path in DOCUMENTS:
        for line in read_commands(path):
            for call in read_calls(line.text):
                words = {call.name, *call.words, *line.text.split()}
                if not words & NOT_RUN.keys() and call not in seen:
                    seen.append(call)
                    yield pytest.param(call, id=f"{line.place}-{call.name}")


@pytest.fixture(scope="module")
def exported(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tmp_path_factory.mktemp("exported") / "model.onnx"
    checkpoint = trained_run / "checkpoints" / "best.ckpt"
    run_tool("export", checkpoint, "--format", "onnx", "--out", model).require_success()
    return model


@pytest.fixture(scope="module")
def runs(
    shapes_set: Path,
    trained_run: Path,
    segmentation_run: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Path]:
    """A run of each task."""
    output = tmp_path_factory.mktemp("joint")
    roots = [f"{task}.data.root={shapes_set}" for task in TASKS]
    words = ["joint_shapes.yaml", *SMALL["joint"], *roots, f"training.output={output}"]
    run_tool("train", *words).require_success()
    return [trained_run, segmentation_run, only_run(output)]


@pytest.fixture
def folder(shapes_set: Path, runs: list[Path], exported: Path, tmp_path: Path) -> Path:
    """A folder with a file for every name that the documents use."""
    for name, run in zip(TRAINED, runs, strict=True):
        shutil.copytree(run, tmp_path / name)
    (tmp_path / "data").mkdir()
    for name in PICTURES:
        pictures = tmp_path / name
        pictures.mkdir()
        for picture in sorted((shapes_set / "val2017").iterdir())[:2]:
            shutil.copy(picture, pictures)
    for name in SHAPES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(shapes_set)
    for name in DETECTORS:
        shutil.copy(tmp_path / TRAINED[0] / "checkpoints" / "best.ckpt", tmp_path / name)
    for name in SEGMENTERS:
        shutil.copy(tmp_path / TRAINED[1] / "checkpoints" / "best.ckpt", tmp_path / name)
    shutil.copy(exported, tmp_path / "MODEL.onnx")
    shutil.copy(tmp_path / TRAINED[0] / "detections.json", tmp_path)
    shutil.copy(shapes_set / "annotations" / "instances_val2017.json", tmp_path)
    write_clip(tmp_path / "CLIP.mp4")
    shutil.copy(CONFIG, tmp_path / "my.yaml")
    return tmp_path


def small(call: Call) -> list[str]:
    """What is added to a command that would train for minutes."""
    if call.name != "train" or any(word.startswith("--print") for word in call.words):
        return []
    config = find_config(call.words[0])
    changes = SMALL[load_any_config(config).task if config.suffix == ".yaml" else "detection"]
    of_timm = any(word.startswith("backbone.name=timm/") for word in call.words)
    return [text for text in changes if not (of_timm and text.startswith("backbone.width_mult"))]


def local(call: Call) -> list[str]:
    """The words of a call, with which nothing outside of the folder is meant."""
    (suffix,) = {FORMATS[word].suffix for word in call.words if word in FORMATS} or {""}
    stand_ins = {**STAND_INS, "FILE": f"FILE{suffix}"}
    return [stand_ins.get(word, word.replace("=/", "=").removeprefix("/")) for word in call.words]


@pytest.mark.long
@pytest.mark.parametrize("call", [*read_runnable()])
def test_a_documented_command_runs(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    outcome = run_tool(call.name, *local(call), *small(call))
    # So few pictures lack a class, which is a problem worth an exit code of 1.
    assert outcome.code == (call.name == "check_data"), outcome.err + outcome.out
