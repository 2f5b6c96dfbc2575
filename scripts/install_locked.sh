#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs lists of requirements into the environment of a Python, every file by its hash in requirements/lock.txt:
#   scripts/install_locked.sh PYTHON LIST...
# LEAVE='numpy torch' names packages that are there already and are not to be touched. Where pip looks is for pip's
# own configuration to say.
set -euo pipefail
lists=$(cd "$(dirname "${BASH_SOURCE[0]}")/../requirements" && pwd)
python=$1
shift
leave=$(tr ' ' '|' <<<"${LEAVE:-}")
# Asked for while it is tried, and gone at the end
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# locked NAME...: their part of the lock, as an older pip takes it, which knows no hashes of constraints.
locked() {
  awk -v names="^($(IFS='|' && echo "$*"))==" '/^[^ ]/ { keep = $0 ~ names } keep' "$lists/lock.txt"
}

# pip prefers a file with a known hash to a better one: it would take the build of torch for CUDA, with gigabytes of
# libraries, where its configuration offers the small one for the CPU. So it chooses without hashes, and the hash of
# what it chose is looked up here.
install_torch() {
  local version wheel sum
  version=$(locked torch | sed -n 's/^torch==\([^ ]*\).*/\1/p')
  "$python" -m pip show torch 2>/dev/null | grep -qE "^Version: ${version//./\\.}(\+|$)" && return
  "$python" -m pip download --quiet --no-deps --only-binary :all: --dest "$scratch" "torch==$version" </dev/null
  wheel=$(echo "$scratch"/torch-*.whl)
  sum=$(sha256sum "$wheel" | cut -d ' ' -f 1)
  if ! locked torch | grep -q "sha256:$sum"; then
    echo "error: requirements/lock.txt does not know the file ${wheel##*/} with the SHA-256 $sum; if you trust where" \
      "it comes from, add --hash=sha256:$sum to the lock's torch: make lock keeps it" >&2
    exit 1
  fi
  "$python" -m pip install --quiet --no-deps "$wheel" </dev/null
}

"$python" -m pip install --quiet --require-hashes -r <(locked pip setuptools) </dev/null
[[ " ${LEAVE:-} " == *' torch '* ]] || install_torch
awk -v names="^(${leave:-none})==" '/^[^ ]/ { keep = $0 !~ names } keep' "$lists/lock.txt" >"$scratch/lock.txt"
requirements=()
for list in "$@"; do requirements+=(-r "$lists/$list.txt"); done
# Without isolation, or what is built from source would be built with a setuptools that nobody has looked at.
"$python" -m pip install --quiet --no-build-isolation --require-hashes -c "$scratch/lock.txt" "${requirements[@]}" </dev/null
