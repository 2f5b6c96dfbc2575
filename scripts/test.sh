#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs pytest in the built environment: scripts/test.sh [PYTEST ARGUMENT]...
# Its ROS nodes see this machine only, in a domain of this run's own, so that runs side by side stay apart.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
export ROS_DOMAIN_ID=$((RANDOM % 100 + 1))  # also where the shell is in a robot's
# What killed processes have left in shared memory, thousands of files in the end: as `fastdds shm clean` does it, whose
# command lacks a part of itself in the wheels.
for lock in /dev/shm/fast{dds,rtps}_*_[es]l; do
  [ -O "$lock" ] || continue
  segment=${lock%_?l}
  flock -xn "$lock" rm -f "$segment" "$lock" "/dev/shm/sem.${segment##*/}_mutex" || true
done
# All of them: half of their time is waiting, so in as many processes as there are cores, up to four.
# Once in some thousand tests two participants of Fast DDS never find each other: a wait that was in vain is tried again.
if [ $# = 0 ]; then
  set -- test -n "$(($(nproc) < 4 ? $(nproc) : 4))" --dist loadfile --reruns 1 --only-rerun 's passed without: '
fi
exec scripts/in_ros_env.sh pytest "$@"
