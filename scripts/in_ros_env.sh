#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command in the environment of the built package: scripts/in_ros_env.sh COMMAND [ARGUMENT]...
# The wheels' ROS 2 is used even where another one is sourced, because the two do not mix in one process.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What a sourced ROS 2 or another workspace has set would be found before ours. The guard of the wheels goes
# too: it says that LD_LIBRARY_PATH is set, which is no longer true.
unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH COLCON_CURRENT_PREFIX COLCON_PYTHON_EXECUTABLE
unset LD_LIBRARY_PATH PYTHONPATH PYTHONHOME RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE

if [ ! -f "$root/.venv/bin/activate" ]; then
  echo "error: $root/.venv is missing; run: make setup" >&2
  exit 1
fi
# Order matters: the prefix of the wheels first, the built package on top of it.
set +u
. "$root/.venv/bin/activate"
export AMENT_PREFIX_PATH=$VIRTUAL_ENV CMAKE_PREFIX_PATH=$VIRTUAL_ENV
if [ -f "$root/install/setup.bash" ]; then . "$root/install/setup.bash"; fi
set -u
export ROS_DISTRO=kilted ROS_VERSION=2 ROS_PYTHON_VERSION=3
# Python would put the working folder first, and its flash_vstream_ros has no generated msg, srv and action.
export PYTHONSAFEPATH=1
exec "$@"
