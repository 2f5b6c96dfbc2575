#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Evaluates the small model on patrols it has not seen: scripts/evaluate_patrol_tiny.sh [MODEL]
# 1,080 questions each to 30 streams of ten minutes and to 10 of two hours, on every input.
# It goes on where it was interrupted. Results: runs/patrol-tiny/results10 and results120.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
model=${1:-models/patrol-tiny}
. scripts/patrol_tiny_common.sh

simulate test10 10 30 36 12 --seed 2000000
simulate test120 120 10 108 12 --seed 2001000
# Baselines that were trained on their own input, where scripts/train_patrol_tiny.sh has left them.
retrained=()
for input in uniform newest_10 neighbours; do
  checkpoint=$runs/seed0/end_$input/checkpoint
  [ ! -e "$checkpoint" ] || retrained+=(--input "$input=$checkpoint")
done
for minutes in 10 120; do
  vstream extract "$data/test$minutes" --model "$model" --out "$data/features_test" --side 4
  vstream evaluate --model "$model" --data "$data/test$minutes" --features "$data/features_test" \
    --out "$runs/results$minutes" --input all "${retrained[@]}"
done
