#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains models/patrol-tiny from nothing: scripts/train_patrol_tiny.sh [SEED]
# The seed is that of stages 1 and 2, which are the paper's; what comes before is common to all seeds.
# Each step goes on where it was interrupted, when this is run again. Results: runs/patrol-tiny.
# PROCESSES=1 where there is one core: how a step is divided changes no more than rounding.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seed=${1:-0}
runs=runs/patrol-tiny
data=$runs/data
recipe=models/patrol-tiny
processes=${PROCESSES:-2}
# Freed memory is kept: without this, half of the time goes into asking the system for it again.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456
export ACCELERATE_USE_CPU=true OMP_NUM_THREADS=1
python=.venv/bin/python

vstream() { $python -m flash_vstream_ros "$@"; }

train() {
  $python -m torch.distributed.run --nproc_per_node "$processes" -m flash_vstream_ros train "$@"
}

# simulate NAME MINUTES STREAMS QUESTIONS AT_ONCE [OPTION]...
simulate() {
  [ -e "$data/$1" ] || vstream simulate "$data/$1" --format description --rate 1 --size 128x96 \
    --minutes "$2" --streams "$3" --questions-per-stream "$4" --asked-at-once "$5" "${@:6}"
}

# The same 300 streams are asked about in several ways; those of an hour are others.
mkdir -p "$data"
simulate first_12 10 300 48 12 --asked-until 60
simulate short_12 10 300 288 12 --asked-until 120
simulate first 10 300 80 20 --asked-until 75
simulate short 10 300 320 20 --asked-until 150
simulate clear_first 10 300 80 20 --asked-until 75 --clear-cut
simulate clear_short 10 300 320 20 --asked-until 150 --clear-cut
simulate full 10 300 320 20
simulate long 60 40 640 20 --seed 10000

# Stage 0: the encoder on its own, and a language model on perfect features.
vstream train --stage 0 --config "$recipe/stage0.yaml"
encoder=$runs/stage0/checkpoint
vstream extract "$data/full" --model "$encoder" --perfect --out "$data/perfect" --side 4
for step in language1 language2 language3; do
  train --stage 2 --config "$recipe/$step.yaml"
done

# Stages 1 and 2: the paper's, with the features of the trained encoder.
for streams in full long; do
  vstream extract "$data/$streams" --model "$encoder" --out "$data/features" --side 4
done
previous=$runs/language/checkpoint
for stage in 1 2; do
  out=$runs/seed$seed/stage$stage
  train --stage "$stage" --config "$recipe/stage$stage.yaml" \
    --set seed="$seed" --set init="$previous" --set out="$out"
  previous=$out/checkpoint
done
echo "trained: $previous"
