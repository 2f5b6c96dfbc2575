# SPDX-License-Identifier: Apache-2.0
# What the scripts of the small model share; to be sourced in the root of the repository.
# PROCESSES=1 where there is one core: how a step is divided changes no more than rounding. PRECISION=no or bf16.
runs=runs/patrol-tiny
data=$runs/data
recipe=models/patrol-tiny
encoder=$runs/stage0/checkpoint
processes=${PROCESSES:-2}
# Freed memory is kept: without this, half of the time goes into asking the system for it again.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456
export ACCELERATE_USE_CPU=true OMP_NUM_THREADS=1
python=.venv/bin/python

vstream() { $python -m flash_vstream_ros "$@"; }

# Where the CPU has no instructions for bfloat16, float32 is several times as fast.
precision_of_cpu() {
  $python -c 'import torch
from flash_vstream_ros.core.devices import multiplies_bfloat16
print("bf16" if multiplies_bfloat16(torch.device("cpu")) else "no")'
}

train() {
  precision=${PRECISION:-${precision:-$(precision_of_cpu)}}
  $python -m torch.distributed.run --nproc_per_node "$processes" -m flash_vstream_ros train "$@" \
    --set precision="$precision"
}

# simulate NAME MINUTES STREAMS QUESTIONS AT_ONCE [OPTION]...
simulate() {
  mkdir -p "$data"
  [ -e "$data/$1" ] || vstream simulate "$data/$1" --format description --rate 1 --size 128x96 \
    --minutes "$2" --streams "$3" --questions-per-stream "$4" --asked-at-once "$5" "${@:6}"
}
