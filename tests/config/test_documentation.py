from mnv2_dense.config.documentation import describe, key_texts
from mnv2_dense.config.fields import sections
from mnv2_dense.config.schema import CONFIGS
from mnv2_dense.config.sections import Data, Input
from mnv2_dense.config.segmentation import SegmentationInput


def test_the_string_under_a_key_is_its_text() -> None:
    texts = key_texts(Data)
    assert texts["root"] == "Folder of the data set, relative to the working directory or absolute."
    assert set(Data.model_fields) <= set(texts)


def test_a_section_has_the_texts_of_those_it_is_made_from() -> None:
    inherited = key_texts(Input)["mean"]
    assert key_texts(SegmentationInput)["mean"] == inherited


def test_every_key_of_every_config_has_one() -> None:
    for model in CONFIGS.values():
        for section in sections(model).values():
            assert set(section.model_fields) <= set(key_texts(section)), section.__name__


def test_a_schema_is_given_the_texts() -> None:
    schema = {"$defs": {"Input": {"properties": {"mean": {"type": "array"}}}}}
    describe(schema, [Input])
    mean = schema["$defs"]["Input"]["properties"]["mean"]
    assert mean == {"type": "array", "description": key_texts(Input)["mean"]}
