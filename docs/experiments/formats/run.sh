#!/usr/bin/env bash
# Derives a set of every format from the real data, and trains one epoch on each.
#   bash docs/experiments/formats/run.sh EMPTY_FOLDER
# from the root of the project; MNV2_DENSE_SHARED names the folder of the real data.
set -euo pipefail
here=$PWD/docs/experiments/formats project=$PWD data=$MNV2_DENSE_SHARED/data
export PYTHONPATH=$project
mkdir -p "$1/sets" && cd "$1"
convert="python $project/tools/convert_data.py"
coco="data.root=$data/coco data.num_classes=null"
voc="data.root=$data/voc/VOC2012"
$convert "$project/configs/ssdlite_coco.yaml" $coco --to coco --out sets/coco
$convert "$project/configs/ssdlite_coco.yaml" $coco --to voc --out sets/voc_xml
$convert sets/coco --to yolo --out sets/yolo
$convert "$project/configs/deeplabv3_voc.yaml" $voc --to masks --out sets/index_masks
python "$here/make_color_masks.py" "$data/voc/VOC2012" sets/color_masks
mkdir sets/coco_small
ln -s "$data/coco/train2017" sets/coco_small/images
ln -s "$data/coco/annotations/instances_train2017.json" sets/coco_small/annotations.json
short="training.epochs=1 training.accelerator=cpu backbone.width_mult=0.35 data.num_workers=1 \
  schedule.warmup_steps=5"
for set in coco voc_xml yolo index_masks color_masks coco_masks; do
  echo "== $set"; cat "$here/$set.yaml"
  size=$([[ $set == *masks ]] && echo "input.height=193 input.width=193" || echo "head.width_mult=0.5")
  python "$project/tools/train.py" "$here/$set.yaml" $short $size
done
