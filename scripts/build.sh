#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the package with colcon into install/. Quick when there is nothing to do: Python files are links, so
# only new and removed files, interfaces and the build's own files ask for a build.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
stamp=install/.build_stamp

# The virtual environment as well: what was built with another Python does not load.
digest() {
  {
    find flash_vstream_ros config launch models -type f -not -name '*.pyc' | LC_ALL=C sort
    sha256sum package.xml CMakeLists.txt cmake/* msg/* srv/* action/* scripts/build.sh .venv/.setup_stamp
  } | sha256sum
}

exec 9<"$root"
if command -v flock >/dev/null; then flock 9; fi
[ "$(cat "$stamp" 2>/dev/null || true)" != "$(digest)" ] || exit 0

environment=$(cat .venv/.setup_stamp)
if [ "$(cat build/.setup_stamp 2>/dev/null || true)" != "$environment" ]; then rm -rf build install; fi
mkdir -p build
echo "$environment" >build/.setup_stamp
# Without setup.bash the build does not see its own former result.
rm -f "$stamp" install/setup.bash
echo 'building the package: this takes minutes'
scripts/in_ros_env.sh colcon --log-level error build --base-paths . --symlink-install \
  --cmake-args "-DPython3_EXECUTABLE=$root/.venv/bin/python" -DBUILD_TESTING=OFF </dev/null
# Links to modules that are gone would still be found by whoever lists the package.
find install -xtype l -delete
# colcon's setup files start Python by a path without quotes, which a space in it would take apart.
sed -i 's|(\$_colcon_python_executable |("$_colcon_python_executable" |' install/local_setup.{sh,bash,zsh}
digest >"$stamp"
