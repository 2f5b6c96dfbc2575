#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tries damaged and strange inputs, far more than `make test`, and notes how many.

Usage: make fuzz [EXAMPLES=N] [RUNS=N] [SEED=N]

The properties of test/fuzz on EXAMPLES inputs each, then scripts/fuzz_bytes.py on RUNS. Writes
benchmarks/results/fuzz.md where nothing has failed. Exit status: 0, or 1 where something has.
"""

import argparse
import datetime
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / 'benchmarks/results/fuzz.md'
SCRATCH = ROOT / 'runs/fuzz'
TARGETS = {'image': 'bytes of a CompressedImage', 'memory': 'bytes of a saved memory'}
HEADER = """# Fuzzing

No input had another end than a right result or the documented error; no process outgrew its bound.

    {command}

{date}, {cores} CPU cores, Python {python}.

| property of test/fuzz | inputs |
|---|---|
"""


def count_examples(text: str) -> dict[str, int]:
    """Read how many inputs each property was tried on.

    :param text: what pytest has said with --hypothesis-show-statistics.
    :returns: file and name of the test -> inputs that it held for, without invalid ones.
    """
    counts: dict[str, int] = {}
    name = ''
    for line in text.splitlines():
        if found := re.match(r'test/fuzz/(\S+)\.py::(\w+):$', line):
            name = f'{found[1]}: {found[2].removeprefix("test_").replace("_", " ")}'
        elif found := re.search(r'- (\d+) passing, 0 failing', line):
            counts[name] = counts.get(name, 0) + int(found[1])
    return counts


def try_properties(examples: int, seed: int) -> dict[str, int]:
    """Run test/fuzz.

    :returns: what :func:`count_examples` does.
    :raises subprocess.CalledProcessError: a property does not hold; pytest has said for what.
    """
    command = [sys.executable, '-m', 'pytest', 'test/fuzz', '--timeout=0', '-q']
    command += ['--hypothesis-show-statistics', f'--hypothesis-seed={seed}']
    environment = os.environ | {'FUZZ_EXAMPLES': str(examples), 'PYTHONSAFEPATH': '1'}
    return count_examples(run(command, ROOT, environment))


def fuzz_bytes(target: str, runs: int, seed: int) -> int:
    """Run libFuzzer on a target.

    :returns: inputs tried.
    :raises subprocess.CalledProcessError: one had another end than it should.
    """
    folder = SCRATCH / target
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / 'scripts/fuzz_bytes.py'), target]
    text = run([*command, f'-runs={runs}', f'-seed={seed}'], folder, dict(os.environ))
    return int(re.search(r'^Done (\d+) runs', text, re.MULTILINE)[1])


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run a command and return what it says; where it fails, that is shown.

    :raises subprocess.CalledProcessError: it has failed.
    """
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stdout[-20_000:], done.stderr[-5_000:])
    done.check_returncode()
    return done.stdout + done.stderr


def main() -> int:
    """Run all and write the report.

    :returns: exit status.
    """
    parser = argparse.ArgumentParser(description='Fuzz what takes data of others.')
    parser.add_argument('--examples', type=int, default=10_000, help='inputs of each property')
    parser.add_argument('--runs', type=int, default=500_000, help='inputs of each byte target')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    try:
        rows = try_properties(args.examples, args.seed)
        if importlib.util.find_spec('atheris'):
            for target, about in TARGETS.items():
                rows[f'atheris: {about}'] = fuzz_bytes(target, args.runs, args.seed)
    except subprocess.CalledProcessError as error:
        print(error, file=sys.stderr)
        return 1
    text = HEADER.format(
        command=f'make fuzz EXAMPLES={args.examples} RUNS={args.runs} SEED={args.seed}',
        date=datetime.datetime.now(tz=datetime.UTC).date(),
        cores=os.cpu_count(),
        python='.'.join(map(str, sys.version_info[:3])),
    )
    rows['all'] = sum(rows.values())
    REPORT.write_text(text + ''.join(f'| {name} | {n:,} |\n' for name, n in rows.items()))
    print(f'{rows["all"]:,} inputs, all as they should be: {REPORT.relative_to(ROOT)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
