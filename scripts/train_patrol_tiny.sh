#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains models/patrol-tiny from nothing: scripts/train_patrol_tiny.sh [SEED]
# Each step goes on where it was interrupted, when this is run again. Results: runs/patrol-tiny.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seed=${1:-0}
runs=runs/patrol-tiny
recipe=models/patrol-tiny
vstream() { .venv/bin/python -m flash_vstream_ros "$@"; }
# Freed memory is kept: without this, half of the time goes into asking the system for it again.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456

# Streams and questions; the short set asks about the same streams, early.
mkdir -p "$runs/data"
streams=(--format description --rate 1 --size 128x96 --minutes 10 --streams 300
  --questions-per-stream 288 --asked-at-once 12)
[ -e "$runs/data/full" ] || vstream simulate "$runs/data/full" "${streams[@]}"
[ -e "$runs/data/short" ] || vstream simulate "$runs/data/short" "${streams[@]}" --asked-until 120

# The encoder does not depend on the seed of what follows.
vstream train --stage 0 --config "$recipe/stage0.yaml"
vstream extract "$runs/data/full" --model "$runs/stage0/checkpoint" --out "$runs/data/features" --side 4

previous=$runs/stage0/checkpoint
for step in 2:language 1:stage1 2:stage2; do
  out=$runs/seed$seed/${step#*:}
  vstream train --stage "${step%:*}" --config "$recipe/${step#*:}.yaml" \
    --set seed="$seed" --set init="$previous" --set out="$out"
  previous=$out/checkpoint
done
echo "trained: $previous"
