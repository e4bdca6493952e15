"""Writes an annotation file as large as asked, in COCO's format, and empty pictures for it.

generate.py FOLDER IMAGES ANNOTATIONS [POLYGON_POINTS]
"""

import json
import sys
from pathlib import Path

import numpy as np

CHUNK = 10_000


def main(folder: Path, images: int, annotations: int, points: int = 0) -> None:
    """Boxes are drawn from seed 0; polygons have two coordinates per point, to hundredths."""
    pictures = folder / "images"
    pictures.mkdir(parents=True)
    rng = np.random.default_rng(0)
    with (folder / "instances.json").open("w") as file:
        file.write('{"info": {"year": 2017}, "images": [')
        for number in range(1, images + 1):
            name = f"{number:012}.jpg"
            (pictures / name).touch()
            link = f"http://images.example.org/train2017/{name}"
            record = {"license": 3, "file_name": name, "coco_url": link, "height": 480}
            record |= {"width": 640, "date_captured": "2013-11-14 17:02:52", "id": number}
            file.write((", " if number > 1 else "") + json.dumps(record))
        file.write('], "annotations": [')
        for start in range(0, annotations, CHUNK):
            count = min(CHUNK, annotations - start)
            boxes = (rng.random((count, 4)) * 200 + 1).round(2).tolist()
            owners = rng.integers(1, images + 1, count).tolist()
            classes = rng.integers(1, 81, count).tolist()
            outlines = (rng.random((count, 2 * points)) * 400).round(2).tolist()
            texts = []
            for place in range(count):
                outline = {"segmentation": [outlines[place]]} if points else {}
                x, y, width, height = boxes[place]
                area = {"area": round(width * height, 4), "iscrowd": 0}
                ids = {"image_id": owners[place], "bbox": [x, y, width, height]}
                ids |= {"category_id": classes[place], "id": start + place + 1}
                texts.append(json.dumps(outline | area | ids))
            file.write((", " if start else "") + ", ".join(texts))
        names = [{"id": number, "name": f"class {number}"} for number in range(1, 81)]
        file.write(f'], "categories": {json.dumps(names)}}}')


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
