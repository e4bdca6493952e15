"""Spoilt annotation files for every reader of ours; see README.md.

PYTHONPATH=. python docs/experiments/fuzz/annotations.py --cases 10000 --seed 0 [READER ...]
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from mutations import mutate_bytes, mutate_values, replace_number
from PIL import Image
from trials import Case, Maker, try_cases

from mnv2_dense.formats import voc_xml
from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.formats.color_table import read_table
from mnv2_dense.formats.problems import refuse
from mnv2_dense.formats.recognition import recognise
from mnv2_dense.formats.voc import class_names, read_voc
from mnv2_dense.formats.yolo import read_yolo

NAMES = ("cat", "dog")
PICTURES = ("a.jpg", "b.jpg", "sub/c.jpg")
OBJECT = (
    "<object><name>{}</name><pose>Left</pose><truncated>0</truncated><difficult>1</difficult>"
    "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>15.5</ymax></bndbox></object>"
)
XML = (
    "<annotation><folder>x</folder><filename>a.jpg</filename><size><width>40</width>"
    "<height>20</height><depth>3</depth></size>{}</annotation>"
).format(OBJECT.format("cat") + OBJECT.format("dog"))
XMLS = (XML, f'<?xml version="1.0" encoding="utf-8"?>\n{XML}', XML.replace("40", "0"))
COCO = {
    "info": {"year": 2017},
    "images": [
        {"id": number, "file_name": name, "width": 40, "height": 20}
        for number, name in enumerate(PICTURES, start=1)
    ],
    "annotations": [
        {
            "id": number,
            "image_id": 1 + number % 3,
            "category_id": (1, 90)[number % 2],
            "bbox": [1, 2.5, 10, 8],
            "area": 80,
            "iscrowd": number % 2,
            "segmentation": [[1, 2, 11, 2, 11, 10]],
        }
        for number in range(4)
    ],
    "categories": [{"id": 1, "name": "cat", "supercategory": "animal"}, {"id": 90, "name": "dog"}],
}
LISTS = (
    b"a\nb\nsub/c\n",
    b"a.jpg\nb.jpg\n./sub/c.jpg\r\n",
    b"\xef\xbb\xbfa\n\nb\n",
    b"a 1\nb -1\n",
)
YAMLS = (
    b"path: .\ntrain: images\nval: [images]\nnc: 2\nnames: [cat, dog]\n",
    b"# a set\ntrain: ../images\nval: list.txt\nnames:\n  0: cat\n  1: dog\n",
    b"path: /somewhere/else\ntrain:\n- images\n- list.txt\nnames: ['cat', \"dog\"]\n",
)
DARKNET = (b"classes = 2\nnames = obj.names\ntrain = list.txt\nvalid = list.txt\n",)
PICTURE_LISTS = (b"./images/a.jpg\nimages/b.jpg\n", b"images/sub/c.jpg\n/tmp/x/images/a.jpg\n")
LABELS = (
    b"0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.1 0.1\n",
    b"1 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9\r\n0 .5 .5 1e-1 1E-1\n",
)
TABLES = (
    b"# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\n",
    b"name,r,g,b\ncat,1,2,3\ndog,4,5,6\nvoid,0,0,0\n",
    b"id;name;r;g;b\n0;cat;1;2;3\n1;dog;4;5;6\n",
    b"__ignore__\n_background_\ncat\ndog\n",
    b"Pixel Value, Class\n0, cat\n1, dog\n",
)


def check(boxes: BoxSet) -> None:
    """Refuses what training refuses; what is left must refer to itself alone."""
    images = {image["id"] for image in boxes.images}
    categories = {category.category_id for category in boxes.categories}
    for entry in boxes.annotations:
        if entry["image_id"] not in images or entry["category_id"] not in categories:
            raise ValueError(f"an annotation of nothing: {entry}")
        if len([float(number) for number in entry["bbox"]]) != 4:
            raise ValueError(f"no box: {entry}")
    root = boxes.image_folder.resolve()
    for image in boxes.images:
        if not (boxes.image_folder / image["file_name"]).resolve().is_relative_to(root):
            raise ValueError(f"a picture outside of the folder: {image}")
    refuse(boxes.problems)


def _draw_pictures(folder: Path) -> None:
    for name in PICTURES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20)).save(folder / name)


def make_coco(folder: Path) -> Maker:
    """Values and bytes of an instances file."""
    _draw_pictures(folder / "images")
    file = folder / "annotations.json"
    texts = [json.dumps(COCO).encode(), json.dumps(COCO, indent=1).encode("utf-8-sig")]

    def run() -> None:
        recognise(folder)
        check(read_coco(file, folder / "images"))

    def make(draw: random.Random) -> Case:
        if draw.random() < 0.5:
            text = json.dumps(mutate_values(COCO, draw), ensure_ascii=draw.random() < 0.5)
            data = replace_number(text, draw).encode(errors="surrogatepass")
        else:
            data = mutate_bytes(draw.choice(texts), texts, draw)
        file.write_bytes(data)
        return Case(data, run)

    return make


def make_voc_xml(folder: Path) -> Maker:
    """Bytes and numbers of an XML file beside two sound ones."""
    _draw_pictures(folder / "images")
    (folder / "xml" / "sub").mkdir(parents=True)
    (folder / "xml" / "b.xml").write_text(XML)
    (folder / "xml" / "sub" / "c.xml").write_text(XML)
    texts = [text.encode() for text in XMLS]

    def run() -> None:
        voc_xml.forget()
        names = class_names([folder / "xml"])
        check(read_voc(folder / "xml", folder / "images", None, names))

    return _bytes_of(folder / "xml" / "a.xml", texts, run)


def make_voc_list(folder: Path) -> Maker:
    """Bytes of a list of pictures."""
    make_voc_xml(folder)
    (folder / "xml" / "a.xml").write_text(XML)
    file = folder / "train.txt"
    places = folder / "xml", folder / "images", file
    return _bytes_of(file, LISTS, lambda: check(read_voc(*places, NAMES)))


def make_yolo_yaml(folder: Path) -> Maker:
    """Bytes of a data.yaml, of Darknet's obj.data, and of a list of pictures."""
    _yolo_set(folder)
    makers = [
        _bytes_of(folder / "data.yaml", YAMLS, lambda: _read_yolo(folder / "data.yaml")),
        _bytes_of(folder / "obj.data", DARKNET, lambda: _read_yolo(folder / "obj.data")),
        _bytes_of(folder / "list.txt", PICTURE_LISTS, lambda: _read_yolo(folder / "sound.data")),
    ]

    def make(draw: random.Random) -> Case:
        return draw.choice((makers[0], makers[0], makers[0], *makers[1:]))(draw)

    return make


def make_yolo_labels(folder: Path) -> Maker:
    """Bytes of a label file."""
    _yolo_set(folder)
    (folder / "data.yaml").write_bytes(YAMLS[0])
    file = folder / "labels" / "a.txt"
    return _bytes_of(file, LABELS, lambda: _read_yolo(folder / "data.yaml"))


def make_color_table(folder: Path) -> Maker:
    """Bytes of a table of classes and colours."""
    file = folder / "classes.txt"
    return _bytes_of(file, TABLES, lambda: read_table(file))


def _bytes_of(
    file: Path, texts: tuple[bytes, ...] | list[bytes], run: Callable[[], object]
) -> Maker:
    def make(draw: random.Random) -> Case:
        data = draw.choice(texts)
        if draw.random() < 0.3:
            data = replace_number(data.decode(), draw).encode()
        if draw.random() < 0.8:
            data = mutate_bytes(data, texts, draw)
        file.write_bytes(data)
        return Case(data, run)

    return make


def _yolo_set(folder: Path) -> None:
    _draw_pictures(folder / "images")
    (folder / "labels" / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (folder / "labels" / f"{name}.txt").write_bytes(LABELS[0])
    (folder / "list.txt").write_bytes(PICTURE_LISTS[0])
    (folder / "obj.names").write_text("cat\ndog\n")
    (folder / "sound.data").write_bytes(DARKNET[0])


def _read_yolo(root: Path) -> None:
    check(read_yolo(root, "train", None, None, upright=False))


READERS: dict[str, Callable[[Path], Maker]] = {
    "coco": make_coco,
    "voc_xml": make_voc_xml,
    "voc_list": make_voc_list,
    "yolo_yaml": make_yolo_yaml,
    "yolo_labels": make_yolo_labels,
    "color_table": make_color_table,
}


def main() -> int:
    """Runs the cases; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*", choices=[*READERS, []], default=[])
    parser.add_argument("--cases", type=int, default=10_000, help="of each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("fuzz_failures"))
    options = parser.parse_args()
    sound = True
    for name in options.readers or READERS:
        with tempfile.TemporaryDirectory() as folder:
            make = READERS[name](Path(folder))
            sound &= try_cases(name, make, options.cases, options.seed, options.output)
    return not sound


if __name__ == "__main__":
    sys.exit(main())
