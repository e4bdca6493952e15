import pytest

from mnv2_dense.config.classification import ClassifierConfig
from mnv2_dense.config.documentation import key_texts
from mnv2_dense.config.fields import sections
from mnv2_dense.config.loader import parse_overrides
from mnv2_dense.config.schema import CONFIGS
from mnv2_dense.errors import UserError


def parse(*overrides: str) -> ClassifierConfig:
    return parse_overrides(ClassifierConfig, overrides, name="weights.pth")


def test_defaults_are_those_of_torchvisions_weights() -> None:
    config = parse()
    assert (config.input.height, config.input.width) == (224, 224)
    assert config.input.mean == pytest.approx([255 * mean for mean in (0.485, 0.456, 0.406)])
    assert config.input.std == pytest.approx([255 * std for std in (0.229, 0.224, 0.225)])
    assert (config.backbone.name, config.backbone.norm_epsilon) == ("mobilenet_v2", 1e-5)
    assert config.backbone.padding == "symmetric"


def test_a_classifier_has_a_task_of_its_own_that_none_can_train() -> None:
    assert (parse().task, parse().name) == ("classification", "classifier")
    assert parse().task not in CONFIGS


def test_only_a_given_width_counts_as_given() -> None:
    assert "width_mult" not in parse("backbone.padding=same").backbone.model_fields_set
    assert "width_mult" in parse("backbone.width_mult=1.0").backbone.model_fields_set


def test_the_release_is_built_as_it_was_trained() -> None:
    config = parse("input.width=96", "backbone.norm_epsilon=null", "input.mean=[127.5,127.5,127.5]")
    assert (config.input.height, config.input.width) == (224, 96)
    assert config.input.mean == (127.5, 127.5, 127.5)
    assert config.backbone.norm_epsilon is None


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("input.heigth=96", "did you mean input.height?"),
        ("input.height=16", "a whole number from 32 to 4096"),
        ("task=detection", 'task cannot be "detection"; allowed: classification'),
        ("name=a/b", "name cannot be"),
        ("data.root=x", "data is no known key; allowed here: task, name, input, backbone"),
        ("backbone.name=vgg", "backbone.name cannot be"),
        ("backbone.weights=imagenet", "--weights"),
        ("backbone.output_stride=16", "output_stride is 32 in classifiers, not 16"),
    ],
)
def test_what_is_not_allowed(override: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(override)
    message = str(caught.value)
    assert message.startswith("weights.pth: ")
    assert words in message
    assert "\n" not in message


def test_every_key_is_documented() -> None:
    own = key_texts(ClassifierConfig)
    assert own["task"]
    assert own["name"]
    for section in sections(ClassifierConfig).values():
        assert set(section.model_fields) <= set(key_texts(section))
