import contextlib
import json
import os
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mnv2_dense.config.loader import (
    MAX_FILE_BYTES,
    load_config,
    parse_config,
    schema_json,
    to_yaml,
)
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.errors import UserError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("name: tiny\ntraining:\n  epochs: 3\n", encoding="utf-8")
    return path


def refusal(path: Path, text: str | bytes, *overrides: str) -> str:
    """Returns the message that a file is refused with, its folder left out."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        load_config(path, overrides)
    message = str(caught.value)
    assert message.startswith(str(path))
    return message.replace(f"{path.parent}/", "")


def test_keys_not_given_take_their_defaults(file: Path) -> None:
    config = load_config(file)
    assert (config.name, config.training.epochs) == ("tiny", 3)
    assert config.optimizer == DetectionConfig().optimizer


def test_overrides_win_and_the_later_one_holds(file: Path) -> None:
    config = load_config(
        file,
        [
            "training.epochs=4",
            "training.epochs=5",
            "optimizer.learning_rate=1e-3",
            "optimizer.betas=[0.8, 1e-1]",
            "training.precision=16",
            "training.devices=2",
            "training.deterministic=true",
            "data.batch_size='24'",
            "data.root=/a b #c: d",
            "name=007",
            "backbone.weights=imagenet",
        ],
    )
    assert config.training.epochs == 5
    assert config.optimizer.learning_rate == 0.001
    assert config.optimizer.betas == (0.8, 0.1)
    assert (config.training.precision, config.training.devices) == ("16", 2)
    assert config.training.deterministic is True
    assert (config.data.batch_size, config.data.root) == (24, "/a b #c: d")
    assert (config.name, config.backbone.weights) == ("007", "imagenet")


def test_null_takes_an_optional_value_back(file: Path) -> None:
    config = load_config(file, ["decode.max_candidates=5", "decode.max_candidates=null"])
    assert isinstance(config, DetectionConfig)
    assert config.decode.max_candidates is None


def test_a_section_of_comments_only_is_empty(file: Path) -> None:
    file.write_text("training:\n  # epochs: 3\n", encoding="utf-8")
    assert load_config(file) == DetectionConfig()
    assert load_config(file, ["training.epochs=2"]).training.epochs == 2


def test_configs_are_frozen(file: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_config(file).training.epochs = 4  # pyrefly: ignore[read-only]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "trainng: {epochs: 3}\n",
            "config.yaml:1: trainng is no known key; did you mean training?",
        ),
        (
            "training:\n  epoch: 3\n",
            "config.yaml:2: training.epoch is no known key; did you mean training.epochs?",
        ),
        (
            "training:\n  learning_rate: 3\n",
            "config.yaml:2: training.learning_rate is no known key; "
            "did you mean optimizer.learning_rate?",
        ),
        (
            "\ntraining:\n\n  epochs: many\n",
            'config.yaml:4: training.epochs cannot be "many"; '
            "allowed: a whole number of at least 1",
        ),
        (
            "training:\n  epochs: true\n",
            "config.yaml:2: training.epochs cannot be true; allowed: a whole number of at least 1",
        ),
        (
            "training:\n  epochs: 1.5\n",
            "config.yaml:2: training.epochs cannot be 1.5; allowed: a whole number of at least 1",
        ),
        (
            "training: {epochs: {a: 1}}\n",
            'config.yaml:1: training.epochs cannot be {"a": 1}; '
            "allowed: a whole number of at least 1",
        ),
        (
            "training:\n  precision: 8\n",
            "config.yaml:2: training.precision cannot be 8; allowed: one of 32, bf16, 16",
        ),
        (
            "optimizer:\n  learning_rate: .inf\n",
            "config.yaml:2: optimizer.learning_rate cannot be Infinity; allowed: a number above 0",
        ),
        (
            "anchors:\n  min_scale: 0.96\n",
            "config.yaml:1: anchors: min_scale must be below max_scale",
        ),
        (
            "input: 5\n",
            "config.yaml:1: input is a section, not 5; its keys: height, width, mean, std, resize",
        ),
        (
            "input: []\n",
            "config.yaml:1: input is a section, not []; its keys: height, width, mean, std, resize",
        ),
        (
            "data:\n  root: 1.5\n",
            "config.yaml:2: data.root cannot be 1.5; allowed: text; quote it to make it text",
        ),
        ("name: a\nname: b\n", "config.yaml:2: name is given twice, first on line 1; keep one"),
        (
            "a: &b [1]\nc: *b\n",
            "config.yaml:1: anchors and aliases (&b, *b) are not allowed; write the value out",
        ),
        (
            "training:\n\tepochs: 1\n",
            "config.yaml:2: a tab in the indentation; YAML indents with spaces",
        ),
        (
            "task: segmentaton\n",
            "config.yaml:1: task cannot be 'segmentaton'; allowed: detection, segmentation, joint",
        ),
        ("", "config.yaml: not a config; it must hold sections of `key: value` lines"),
        ("- 1\n", "config.yaml: not a config; it must hold sections of `key: value` lines"),
        (b"name: \xe9\n", "config.yaml: not a text in UTF-8, so not a config file"),
        (" " * (MAX_FILE_BYTES + 1), "config.yaml: more than 100,000 bytes, so not a config file"),
    ],
)
def test_mistakes_in_a_file(file: Path, text: str | bytes, message: str) -> None:
    assert refusal(file, text) == message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "training.epochs=0",
            "training.epochs cannot be 0; allowed: a whole number of at least 1",
        ),
        ("training.epoch=1", "training.epoch is no known key; did you mean training.epochs?"),
        (
            "name.x=1",
            "name holds a value, so name.x cannot exist; set name=",
        ),
        ("input=5", "input is a section; set one of its keys: height, width, mean, std, resize"),
        ("epochs", "no `=`; write key.path=value, as in training.epochs=10"),
        ("training.compile=1", "training.compile cannot be 1; allowed: true or false"),
    ],
)
def test_mistakes_in_an_override(file: Path, override: str, message: str) -> None:
    expected = f"config.yaml: override 1 ({override}): {message}"
    assert refusal(file, "name: a\n", override) == expected


def test_an_unknown_task_in_an_override_is_refused(file: Path) -> None:
    assert refusal(file, "name: a\n", "task=x") == (
        "config.yaml: override task=x: task cannot be 'x'; allowed: detection, segmentation, joint"
    )


def test_every_mistake_is_told_at_once(file: Path) -> None:
    text = "nam: a\ntraining:\n  epochs: true\n  epochs: 1\nloss:\n  focal_gamma: -1\n"
    message = refusal(file, text, "input=5", "training.seed=-1")
    assert message.splitlines() == [
        "config.yaml: 6 mistakes",
        "  config.yaml:4: training.epochs is given twice, first on line 3; keep one",
        "  override 1 (input=5): input is a section; set one of its keys: height, width, mean, "
        "std, resize",
        "  config.yaml:1: nam is no known key; did you mean name?",
        "  config.yaml:3: training.epochs cannot be true; allowed: a whole number of at least 1",
        "  config.yaml:6: loss.focal_gamma cannot be -1; allowed: a number of at least 0",
        "  override 2 (training.seed=-1): training.seed cannot be -1; "
        "allowed: a whole number from 0 to 4294967295",
    ]


def test_a_missing_file_and_what_is_no_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: no such config file"):
        load_config(tmp_path / "none.yaml")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "loop", Path("/dev/zero")):
        with pytest.raises(UserError, match=f"^{path}: the config cannot be read: "):
            load_config(path)


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"k{number}: 1\n" for number in range(900)),
        "{" + ",".join(f"k{number:x}" for number in range(15_000)) + "}",
        "name: a\n" * 12_000,
        f"? {'a' * 90_000}\n: 1\n",
        f"training:\n  ? {'epoch' * 18_000}\n  : 1\n",
        f"training: {{epochs: {'a' * 90_000}}}",
        f"data: {{classes: [{'1.5,' * 15_000}]}}",
        f"task: {'x' * 90_000}",
        "[" * 99_000,
        '"\\e[2J": 1\n"a\\nb": 2\n"\\u202e": 3\ntraining: {epochs: "\\e[2J\\x9b"}',
        'task: "\\e[2J"',
    ],
)
def test_messages_are_short_and_printable_and_soon_there(file: Path, text: str) -> None:
    started = time.process_time()
    message = refusal(file, text)
    assert time.process_time() - started < 5
    assert all(line.isprintable() for line in message.split("\n"))
    assert len(message.split("\n")) <= 22
    assert len(message) < 6000


def test_of_many_mistakes_the_first_are_named(file: Path) -> None:
    message = refusal(file, "".join(f"k{number}: 1\n" for number in range(300)))
    assert message.splitlines()[0] == "config.yaml: 300 mistakes"
    assert message.splitlines()[-1] == "  and 280 more"


def test_overrides_that_are_bombs(file: Path) -> None:
    for override in (
        f"data.classes={'[' * 9000}",
        f"data.root={'x' * 10**6}",
        f"{'training.' * 1000}epochs=1",
        f"training.epochs.{'x.' * 2000}y=1",
        f"training.epochs={'9' * 5000}",
        "training.epochs=\x1b[2J",
        'data.root="\\ud800"',
        'name="\\UFFFFFFFF"',
        "task=\x1b[2J",
        f"task={'x' * 10**6}",
    ):
        message = refusal(file, "name: a\n", override)
        assert message.isprintable(), override[:50]
        assert len(message) < 600, override[:50]


SPOILT = st.sampled_from(
    [
        *("[]{}:,#&*!|>'\"%@\n\t\r\0\ufeff\x85-? "),
        *("\\U", "\\ud800", "1e999", "9" * 5000, "...", "---\n", "<<: ", ".nan", "010", "true"),
        *("!!int ", "[" * 300, "- " * 30, "a: 1\n" * 30),
    ]
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 9), SPOILT | st.text(max_size=9))))
def test_spoilt_files_are_read_or_refused(file: Path, changes: list[tuple[int, int, str]]) -> None:
    text = "task: detection\nname: tiny\ndata:\n  root: x\n  batch_size: 4\ninput: {height: 64}\n"
    text += "optimizer:\n  learning_rate: 1e-3\n  betas: [0.9, 0.99]\ntraining:\n  epochs: 3\n"
    for start, length, spoilt in changes:
        text = text[:start] + spoilt + text[start + length :]
    file.write_text(text, encoding="utf-8", newline="")
    with contextlib.suppress(UserError):
        to_yaml(load_config(file))


def test_yaml_round_trip(file: Path) -> None:
    overrides = ["name='1e-3'", "data.root='a: b # \\n 1e-3'", "optimizer.epsilon=1e-30"]
    config = load_config(file, overrides)
    text = to_yaml(config)
    assert parse_config(yaml.safe_load(text)) == config
    file.write_text(text, encoding="utf-8")
    assert load_config(file) == config


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20))
def test_any_folder_name_survives_the_round_trip(root: str) -> None:
    config = parse_config({"data": {"root": root}})
    assert parse_config(yaml.safe_load(to_yaml(config))) == config


def test_yaml_holds_every_key_under_its_documentation() -> None:
    lines = to_yaml(DetectionConfig()).splitlines()
    assert "  # Peak learning rate, for the whole batch of all processes as configured." in lines
    assert lines[lines.index("  learning_rate: 0.015") - 1].startswith("  # Peak learning rate")
    assert "# The run: length, hardware, precision, checkpoints." in lines
    assert sum(line.lstrip().startswith("max_steps:") for line in lines) == 1


def test_a_stored_config_is_checked_too() -> None:
    assert parse_config(DetectionConfig().model_dump()) == DetectionConfig()
    assert parse_config({}) == DetectionConfig()
    with pytest.raises(UserError, match=r"^last\.ckpt: training\.epochs cannot be 0"):
        parse_config({"training": {"epochs": 0}}, name="last.ckpt")
    with pytest.raises(UserError, match=r"^stored config: task cannot be 'x'"):
        parse_config({"task": "x"})


def test_schema_is_json_with_the_documentation_of_keys() -> None:
    schema = json.loads(schema_json())
    epochs = schema["$defs"]["Training"]["properties"]["epochs"]
    assert epochs["description"] == "Passes over the training set."
    assert epochs["minimum"] == 1
