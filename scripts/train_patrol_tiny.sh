#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains models/patrol-tiny from nothing: scripts/train_patrol_tiny.sh [SEED]
# The seed is that of stages 1 and 2, which are the paper's; what comes before is common to all seeds.
# Each step goes on where it was interrupted, when this is run again. Results: runs/patrol-tiny.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seed=${1:-0}
. scripts/patrol_tiny_common.sh

# The same 300 streams are asked about in several ways; those of an hour are others.
simulate first 10 300 80 20 --asked-until 75
simulate short 10 300 320 20 --asked-until 150
simulate clear_first 10 300 80 20 --asked-until 75 --clear-cut
simulate clear_short 10 300 320 20 --asked-until 150 --clear-cut
simulate full 10 300 320 20
simulate clear_full 10 300 320 20 --clear-cut
simulate long 60 40 640 20 --seed 10000
# What is learnt least: near misses, and what came right before or after.
hard=(--type 'Event Occurrence' --type 'Ordered Event Narrative')
simulate hard_short 10 300 320 20 --asked-until 150 "${hard[@]}"
simulate hard_full 10 300 320 20 "${hard[@]}"
simulate narrative_short 10 300 320 20 --asked-until 150 --type 'Ordered Event Narrative'
simulate narrative_full 10 300 320 20 --type 'Ordered Event Narrative'
# Other streams, so that what is behind an answer is not known by heart.
wide=(--seed 20000)
simulate wide 10 800 320 20 "${wide[@]}"
simulate narrative_wide 10 800 320 20 "${wide[@]}" --type 'Ordered Event Narrative'
simulate narrative_wide_short 10 800 320 20 "${wide[@]}" --asked-until 150 --type 'Ordered Event Narrative'
simulate long_wide 120 40 960 20 --seed 30000

# Stage 0: the encoder on its own, and a language model on perfect features.
vstream train --stage 0 --config "$recipe/stage0.yaml"
vstream extract "$data/full" --model "$encoder" --perfect --out "$data/perfect" --side 4
train --stage 2 --config "$recipe/language.yaml"

# Stages 1 and 2: the paper's, with the features of the trained encoder.
for streams in full long wide long_wide; do
  vstream extract "$data/$streams" --model "$encoder" --out "$data/features" --side 4
done
previous=$runs/language/checkpoint
for step in 1:stage1 2:stage2 2:stage2_hard 2:stage2_more 2:stage2_last \
  2:stage2_wide; do
  out=$runs/seed$seed/${step#*:}
  train --stage "${step%:*}" --config "$recipe/${step#*:}.yaml" \
    --set seed="$seed" --set init="$previous" --set out="$out"
  previous=$out/checkpoint
done

# The end of stage 2 on the memory and, for a fair comparison, on other inputs from the same weights.
for input in star uniform newest_10 neighbours; do
  train --stage 2 --config "$recipe/stage2_end.yaml" --set seed="$seed" --set memory_input="$input" \
    --set init="$previous" --set out="$runs/seed$seed/end_$input"
done
echo "trained: $runs/seed$seed/end_star/checkpoint"
