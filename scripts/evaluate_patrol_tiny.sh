#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Evaluates the small model as docs/evaluation.md shows it: scripts/evaluate_patrol_tiny.sh [SEED]
# scripts/train_patrol_tiny.sh must have run; each step goes on where it was interrupted.
# Results: runs/patrol-tiny/seedSEED/results10 and results120 (minutes).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seed=${1:-0}
. scripts/patrol_tiny_common.sh

simulate test10 10 30 36 12 --seed 2000000
simulate test120 120 10 108 12 --seed 2001000
for minutes in 10 120; do
  vstream extract "$data/test$minutes" --model "$encoder" --out "$data/features_test" --side 4
done

# Every input is trained on for as long: the memory itself, and what it is compared with.
run=$runs/seed$seed
for input in star uniform newest_10 neighbours; do
  train --stage 2 --config "$recipe/inputs.yaml" --set seed="$seed" \
    --set init="$run/stage2_end/checkpoint" --set memory_input="$input" --set out="$run/inputs/$input"
done
own=$run/inputs
for minutes in 10 120; do
  vstream evaluate --model "$own/star/checkpoint" --data "$data/test$minutes" \
    --features "$data/features_test" --out "$run/results$minutes" --input all \
    --input uniform="$own/uniform/checkpoint" --input newest_10="$own/newest_10/checkpoint" \
    --input neighbours="$own/neighbours/checkpoint"
done
