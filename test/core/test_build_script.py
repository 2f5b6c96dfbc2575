# SPDX-License-Identifier: Apache-2.0
"""What the build changes in colcon's setup files."""

import subprocess
import sys
from pathlib import Path

import pytest

# The lines of colcon's templates that find Python and start it.
SETUP = """\
_colcon_python_executable="{python}"
_colcon_ordered_commands="$($_colcon_python_executable -c 'print(1 + 1)' sh)"
unset _colcon_python_executable
echo "$_colcon_ordered_commands"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with a space in its name, with a Python and setup files as colcon makes them."""
    folder = tmp_path / 'a checkout'
    (folder / 'install').mkdir(parents=True)
    python = folder / 'python'
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    for shell in ('sh', 'bash', 'zsh'):
        (folder / 'install' / f'local_setup.{shell}').write_text(SETUP.format(python=python))
    return folder


@pytest.mark.parametrize('shell', ['sh', 'bash'])
def test_setup_files_can_be_sourced_from_a_folder_with_a_space(repository, checkout, shell):
    script = (repository / 'scripts' / 'build.sh').read_text().splitlines()
    (change,) = [line for line in script if line.startswith('sed ')]
    for _ in range(2):  # what is right stays as it is
        subprocess.run(['bash', '-c', change], cwd=checkout, check=True)
    command = [shell, '-c', f'. "$PWD/install/local_setup.{shell}"']
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ('2\n', '')
    assert '("$_colcon_python_executable" ' in (checkout / 'install/local_setup.zsh').read_text()
