#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Evaluates the small model on patrols it has not seen: scripts/evaluate_patrol_tiny.sh [MODEL [SEED [OUT]]]
# 1,080 questions each to 30 streams of ten minutes and to 10 of two hours, on every input. The baselines
# that were trained on their own input are those that scripts/train_patrol_tiny.sh SEED has left.
# It goes on where it was interrupted. Results: OUT/results10 and OUT/results120; OUT is runs/patrol-tiny.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
model=${1:-models/patrol-tiny}
seed=${2:-0}
. scripts/patrol_tiny_common.sh
out=${3:-$runs}

simulate test10 10 30 36 12 --seed 2000000
simulate test120 120 10 108 12 --seed 2001000
retrained=()
for input in uniform newest_10 neighbours; do
  checkpoint=$runs/seed$seed/end_$input/checkpoint
  [ ! -e "$checkpoint" ] || retrained+=(--input "$input=$checkpoint")
done
for minutes in 10 120; do
  vstream extract "$data/test$minutes" --model "$model" --out "$data/features_test" --side 4
  vstream evaluate --model "$model" --data "$data/test$minutes" --features "$data/features_test" \
    --out "$out/results$minutes" --input all "${retrained[@]}"
done
