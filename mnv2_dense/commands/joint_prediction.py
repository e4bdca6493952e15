"""Joint networks in a prediction job: boxes and the label map of each picture, of one pass."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from typing_extensions import override

from mnv2_dense.commands.prediction_kinds import Prediction, Recorder, Source, counted
from mnv2_dense.commands.prediction_options import Options
from mnv2_dense.commands.whole_file import save_picture
from mnv2_dense.detection.draw import draw_detections
from mnv2_dense.drawing import Picture, encode_label_map
from mnv2_dense.errors import UserError
from mnv2_dense.images import read_image
from mnv2_dense.prediction.joint import JointPredictor, JointResult
from mnv2_dense.segmentation.draw import tint


class JointRecorder(Recorder):
    """Draws boxes over the tinted picture, writes label maps, and notes both of every picture.

    Args:
        model: Shows it pictures.
        drawings: Whether pictures are written for people, too.
    """

    records_name = "predictions.json"

    def __init__(self, model: JointPredictor, *, drawings: bool = True) -> None:
        self.model = model
        self.drawings = drawings
        self.result_folders = ("label_maps", *[""] * drawings)
        self.engine = model.engine

    @override
    def predict(self, source: Source, out: Path) -> Prediction:
        picture = read_image(source.path, upright=True)
        seen = self.model.predict(picture, str(source.path))
        boxes, shares = seen.detection.to_coco(source.number), seen.segmentation.shares
        target = out / "label_maps" / f"{source.name}.png"
        save_picture(encode_label_map(seen.segmentation.label_map), target)
        record = {
            "file_name": str(source.path),
            "image_id": source.number,
            "width": picture.shape[1],
            "height": picture.shape[0],
            "detections": boxes,
            "label_map": str(target.relative_to(out)),
            "shares": shares,
        }
        if self.drawings:
            target = out / f"{source.name}.png"
            save_picture(Image.fromarray(draw_both(picture, seen)), target)
        found = counted(len(boxes), "box", "boxes")
        return Prediction(f"{found}; {', '.join(list(shares)[:3])} -> {target}", [record])


def draw_both(picture: Picture, seen: JointResult) -> Picture:
    """The picture [H, W, 3] under its classes' colours, with the boxes on it."""
    detection, segmentation = seen
    tinted = tint(picture, segmentation.label_map, segmentation.names)
    return draw_detections(tinted, detection, detection.names)


def open_joint(content: Mapping[str, Any], options: Options) -> JointRecorder:
    """The network of a joint checkpoint as a job takes it.

    Raises:
        UserError: See `JointPredictor`; or it is asked for another engine than PyTorch.
    """
    if options.engine not in (None, "torch"):
        raise UserError(
            f"{options.weights}: engine={options.engine} runs a detector or a segmenter alone; "
            "a joint network is run by torch, leave --engine out"
        )
    model = JointPredictor(
        content,
        Path(options.weights),
        overrides=options.overrides,
        device=options.device or "cpu",
        score_threshold=options.lowest_score,
    )
    return JointRecorder(model, drawings=options.drawings)
