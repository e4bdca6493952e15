"""The smallest truths and runs of which there can be a page."""

import json
from pathlib import Path
from typing import Any

from mnv2_dense.coco_evaluation.instances import ground_truth_of
from mnv2_dense.coco_evaluation.records import GroundTruth, Results, results_of
from mnv2_dense.config.loader import load_config, to_yaml
from mnv2_dense.pages.markup import element, page
from mnv2_dense.reporting.findings import Findings, study
from tests.commands.tiny import CONFIG, SEGMENTATION_CONFIG
from tests.pages.parsing import Page

SCRIPT = "<script>alert(1)</script>"


def boxes_of(*names: str) -> tuple[GroundTruth, Results]:
    """Two pictures with an object of each class; of the first class both are found, of others none.

    The object of the last class in picture 1 is taken for one of the first class.
    """
    places = [[40 * label, 0, 20, 20] for label in range(len(names))]
    content = {
        "images": [{"id": 1}, {"id": 2}],
        "categories": [{"id": label, "name": name} for label, name in enumerate(names)],
        "annotations": [
            {"image_id": image, "category_id": label, "bbox": place}
            for image in (1, 2)
            for label, place in enumerate(places)
        ],
    }
    found = [
        {"image_id": image, "category_id": 0, "bbox": places[0], "score": 0.9} for image in (1, 2)
    ]
    found.append({"image_id": 1, "category_id": 0, "bbox": places[-1], "score": 0.6})
    return ground_truth_of(content), results_of(found)


def findings_of(*names: str) -> Findings:
    return study(*boxes_of(*names))


def show(*parts: Any) -> Page:
    """The texts and tags of some parts of a page."""
    return Page(page("part", "", element("main", *parts)))


def make_run(folder: Path, task: str = "detection", *overrides: str) -> Path:
    """The folder of a run that was killed before anything was logged."""
    source = CONFIG if task == "detection" else SEGMENTATION_CONFIG
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(load_config(source, overrides)))
    return folder


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
