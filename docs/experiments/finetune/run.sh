#!/bin/sh
# Runs of README.md, one after the other: sh run.sh VOC COCO OUT, with the imported checkpoints
# voc.ckpt, imagenet.ckpt and coco.ckpt in OUT.
set -eu
here=$(dirname "$0")
voc=$1 coco=$2 out=$3
train="python tools/train.py"
common="training.threads=1 training.accelerator=cpu training.output=$out/runs"

$train "$here/voc.yaml" data.root="$voc" $common name=voc_imagenet \
    backbone.weights="$out/imagenet.ckpt" optimizer.learning_rate=0.0003
$train "$here/voc.yaml" data.root="$voc" $common name=voc_voc --weights "$out/voc.ckpt" \
    optimizer.learning_rate=0.00003
$train "$here/voc.yaml" data.root="$voc" $common name=voc_voc_frozen --weights "$out/voc.ckpt" \
    optimizer.learning_rate=0.00003 training.freeze_norm_epochs=20
$train "$here/voc.yaml" data.root="$voc" $common name=voc_scratch

# The imported network's own config, from its weights and, by the same config as YAML, from random.
recipe="data.root=$coco data.batch_size=16 data.num_workers=0 loss.classification=focal
    loss.focal_alpha=0.75 backbone.norm_momentum=0.03 augmentation.expand=0 augmentation.photometric=0
    optimizer.name=adamw schedule.warmup_steps=40 schedule.warmup_factor=0.01 training.epochs=20
    training.gradient_clip_norm=10 training.validate_every=2 training.log_every=10
    training.freeze_norm_epochs=3"
$train "$out/coco.ckpt" $recipe $common name=coco_coco optimizer.learning_rate=0.0001
newest=$(ls -d "$out"/runs/coco_coco/* | tail -n 1)
$train "$newest/config.yaml" $common name=coco_scratch optimizer.learning_rate=0.002
