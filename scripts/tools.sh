#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes .venv-tools, with what `make lock` and `make audit` run. Quick when there is nothing to do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
stamp=.venv-tools/.setup_stamp
made_from=$(pwd; sha256sum requirements/{tools,lock}.txt scripts/{tools,install_locked}.sh)
if [ "$(cat "$stamp" 2>/dev/null || true)" = "$made_from" ]; then exit 0; fi
rm -rf .venv-tools
"${PYTHON:-python3}" -m venv .venv-tools
LEAVE=torch scripts/install_locked.sh .venv-tools/bin/python tools
echo "$made_from" >"$stamp"
