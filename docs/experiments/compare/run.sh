#!/usr/bin/env bash
# All comparisons of README.md: bash run.sh VOC COCO IMAGENET.ckpt OUT [PART ...], in the repository's
# root. What is most telling comes first. It can be stopped at any time; called again, it goes on.
set -uo pipefail

voc=$1 coco=$2 weights=$3 out=$4
shift 4
parts=${*:-1 2 3 4 5 6 7 8}
python=${PYTHON:-.venv/bin/python}

seg_voc="--data voc=$voc --steps 250 --batch 8 --size 192 --out $out/segmentation-voc"
seg_shapes="--data shapes --steps 300 --batch 8 --size 128 --out $out/segmentation-shapes"
det_coco="--data coco=$coco --steps 200 --batch 8 --size 320 --out $out/detection-coco"
det_shapes="--data shapes --steps 300 --batch 16 --size 128 --out $out/detection-shapes"
imagenet="--weights $weights"

smp=smp_deeplabv3_mobilenet_v2
deeplab_v3=torchvision_deeplabv3_mobilenet_v3_large
ssd=torchvision_ssd_mobilenet_v2
ssdlite_v3=torchvision_ssdlite320_mobilenet_v3_large

# A run that fails is told, and the others go on.
segment() { $python tools/compare/segmentation.py "$@" || echo "failed: segmentation.py $*"; }
detect() { $python tools/compare/detection.py "$@" || echo "failed: detection.py $*"; }

# shellcheck disable=SC2086  # the groups of options are meant to be split
for part in $parts; do
    case $part in
    1) segment $seg_voc $imagenet --networks light aspp aspp_last $smp ;;
    2) detect $det_shapes $imagenet --networks ssdlite ssd $ssd ;;
    3)
        segment $seg_voc $imagenet --networks $smp --recipe product
        detect $det_shapes $imagenet --networks $ssd --recipe product
        ;;
    4) detect $det_shapes --networks ssdlite $ssd $ssdlite_v3 ;;
    5) segment $seg_voc --networks light aspp $smp $deeplab_v3 ;;
    6)
        detect $det_shapes --networks $ssd $ssdlite_v3 --recipe product
        segment $seg_voc --networks $smp $deeplab_v3 --recipe product
        ;;
    7)
        segment $seg_shapes $imagenet --networks light aspp $smp
        segment $seg_shapes --networks light aspp $smp $deeplab_v3
        segment $seg_shapes $imagenet --networks $smp --recipe product
        segment $seg_shapes --networks $smp $deeplab_v3 --recipe product
        ;;
    8)
        detect $det_coco $imagenet --networks ssdlite $ssd
        detect $det_coco $imagenet --networks $ssd --recipe product
        detect $det_coco --networks ssdlite $ssd $ssdlite_v3
        detect $det_coco --networks $ssd $ssdlite_v3 --recipe product
        ;;
    esac
done
