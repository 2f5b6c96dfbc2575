# SPDX-License-Identifier: Apache-2.0
"""The lock has all that is required, by hash; what is not in it is not installed."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / 'requirements'
LISTS = sorted(REQUIREMENTS.glob('*.txt'))
PIN = re.compile(r'^([\w.-]+)==([\w.+]+)( ; .*)? \\$')
HASH = re.compile(r'^    --hash=sha256:[0-9a-f]{64}( \\)?$')
WHEEL = b'a wheel'
# Stands for Python: records the arguments of each call, and downloads its own wheel.
PYTHON = f"""#!/usr/bin/env bash
echo "$*" >>"$RECORD"
for word in "$@"; do
  case ${{last:-}} in
    --dest) printf '{WHEEL.decode()}' >"$word/torch-1-py3-none-any.whl" ;;
    -c) cp "$word" "$RECORD.lock" ;;
  esac
  last=$word
done
if [ "$3" = show ] && [ -n "${{INSTALLED:-}}" ]; then echo "Version: $INSTALLED"; fi
"""


def canonical(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


def pins(text: str) -> dict[str, str]:
    found = [match for line in text.splitlines() if (match := PIN.match(line))]
    return {canonical(match[1]): match[2] for match in found}


def required(path: Path) -> set[str]:
    lines = [line for line in path.read_text().splitlines() if line[:1] not in '#-']
    return {canonical(re.match(r'[\w.-]+', line)[0]) for line in lines if line}


@pytest.mark.parametrize('path', [p for p in LISTS if p.name != 'lock.txt'], ids=lambda p: p.name)
def test_every_requirement_is_pinned(path):
    asked = required(path)
    assert asked
    assert not asked - pins((REQUIREMENTS / 'lock.txt').read_text()).keys(), 'run: make lock'


def test_the_lock_is_pins_and_hashes_and_nothing_else():
    """No address of a package index, no path, no pin without a hash, no name twice."""
    text = (REQUIREMENTS / 'lock.txt').read_text()
    lines = [line for line in text.splitlines() if not line.startswith('#')]
    assert len(lines) > 1000
    assert not [line for line in lines if not PIN.match(line) and not HASH.match(line)]
    assert not re.search(r'^\S.*\n(?!    --hash)', '\n'.join(lines), re.MULTILINE)
    names = [PIN.match(line)[1] for line in lines if PIN.match(line)]
    assert len(set(names)) == len(names)


@pytest.fixture
def install(tmp_path):
    """Run a copy of the script beside a small lock, with a Python that only records."""
    for folder in ('requirements', 'scripts'):
        (tmp_path / folder).mkdir()
    script = tmp_path / 'scripts/install_locked.sh'
    script.write_text((ROOT / 'scripts/install_locked.sh').read_text())
    python = tmp_path / 'python'
    python.write_text(PYTHON)
    script.chmod(0o755)
    python.chmod(0o755)

    def run(known: str = hashlib.sha256(WHEEL).hexdigest(), **environment: str):
        names = ['numpy', 'pip', 'torch', 'torch-other']
        lines = [f'{name}==1.2 \\\n    --hash=sha256:{known}\n' for name in names]
        (tmp_path / 'requirements/lock.txt').write_text(''.join(lines))
        record = tmp_path / 'record'
        record.write_text('')
        done = subprocess.run(
            [script, python, 'core', 'dev'],
            env={'PATH': os.environ['PATH'], 'RECORD': str(record), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return done, record.read_text().splitlines(), tmp_path / 'record.lock'

    return run


def test_a_torch_whose_hash_is_known_is_installed_and_all_else_by_hash(install):
    done, calls, lock = install()
    assert done.returncode == 0, done.stderr
    installing = [call for call in calls if ' install ' in call]
    assert ['torch-1-py3-none-any.whl' in call for call in installing] == [False, True, False]
    assert ['--require-hashes' in call for call in installing] == [True, False, True]
    assert installing[2].endswith('requirements/dev.txt')
    assert pins(lock.read_text()).keys() == {'numpy', 'pip', 'torch', 'torch-other'}


def test_a_torch_whose_hash_is_not_known_is_refused_by_it(install):
    done, calls, _ = install(known='0' * 64)
    assert done.returncode == 1
    assert f'--hash=sha256:{hashlib.sha256(WHEEL).hexdigest()}' in done.stderr
    assert not [call for call in calls if ' install ' in call and 'torch' in call]


@pytest.mark.parametrize(('version', 'downloads'), [('1.2+cpu', 0), ('1.2', 0), ('1.20', 1)])
def test_a_torch_of_that_version_is_not_downloaded_again(install, version, downloads):
    done, calls, _ = install(INSTALLED=version)
    assert done.returncode == 0, done.stderr
    assert sum(' download ' in call for call in calls) == downloads


def test_what_is_to_be_left_is_neither_downloaded_nor_pinned(install):
    done, calls, lock = install(LEAVE='numpy torch')
    assert done.returncode == 0, done.stderr
    assert not [call for call in calls if ' download ' in call or 'whl' in call]
    assert pins(lock.read_text()).keys() == {'pip', 'torch-other'}
