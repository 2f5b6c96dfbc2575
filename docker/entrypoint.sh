#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Starts both nodes: entrypoint.sh [NAME:=VALUE]... are arguments of the launch file. Anything else is a command of its
# own, run in the same environment: entrypoint.sh ros2 topic list
set -eo pipefail
# ROS first, then the virtual environment, then the package: the later stands before the earlier.
source "${ROS_SETUP:-/opt/ros/$ROS_DISTRO/setup.bash}" --
source "$VIRTUAL_ENV/bin/activate"
source "${PACKAGE_SETUP:-/opt/flash_vstream_ros/setup.bash}" --

case ${1:-:=} in
  *:=*) exec ros2 launch flash_vstream_ros flash_vstream.launch.py "$@" ;;
  *) exec "$@" ;;
esac
