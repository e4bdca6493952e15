#!/usr/bin/env bash
# Trains both tasks with every variant of the backbone: bash run.sh OUTPUT, then summarize.py OUTPUT.
# Run it in the repository's root. Seed by seed, so that what is cut short still compares.
set -euo pipefail

output=$1
variants=(
    "mobilenet_v2"
    "mobilenet_v1 backbone.name=mobilenet_v1"
    "relu6_bottleneck backbone.linear_bottleneck=false"
    "no_shortcut backbone.shortcut=none"
    "expansion_shortcut backbone.shortcut=expansion"
)
for seed in 0 1 2; do
    for task in ssdlite deeplabv3; do
        epochs=3
        if [ $task = deeplabv3 ]; then epochs=2; fi
        for variant in "${variants[@]}"; do
            read -ra words <<<"$variant"
            name=$task-${words[0]}-$seed
            if compgen -G "$output/$name/*/metrics.json" >/dev/null; then continue; fi
            ${PYTHON:-.venv/bin/python} tools/train.py configs/${task}_shapes.yaml name="$name" \
                training.output="$output" training.seed=$seed training.epochs=$epochs \
                training.validate_every=$epochs training.threads=1 "${words[@]:1}"
        done
    done
done
