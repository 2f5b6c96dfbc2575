# SPDX-License-Identifier: Apache-2.0
"""The container files: what can be held against them without an engine that builds them.

What the entry point runs is recorded by a program that takes the place of ros2.
"""

import fnmatch
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / 'docker'
FILES = ('Dockerfile', 'Dockerfile.jetson')
# Records its arguments.
PROGRAM = """#!/bin/bash
printf "%s\\n" "$@" "" >>"$RECORD"
"""


@pytest.fixture(params=FILES)
def instructions(request) -> list[tuple[str, str]]:
    """Instructions of one file in order, each with its arguments on one line."""
    lines = (DOCKER / request.param).read_text().splitlines()
    text = '\n'.join(line for line in lines if not line.startswith('#'))
    joined = re.sub(r'\\\n\s*', '', text)
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line]


def of(instructions: list[tuple[str, str]], name: str) -> list[str]:
    return [arguments for found, arguments in instructions if found == name]


def copied(instructions: list[tuple[str, str]]) -> list[str]:
    """Paths that are copied from the source tree."""
    words = [shlex.split(arguments) for arguments in of(instructions, 'COPY')]
    return [path for line in words if not line[0].startswith('--from') for path in line[:-1]]


def is_ignored(path: str) -> bool:
    patterns = (ROOT / '.dockerignore').read_text().splitlines()
    parts = path.split('/')
    prefixes = ['/'.join(parts[: i + 1]) for i in range(len(parts))]
    return any(
        fnmatch.fnmatch(f'/{prefix}', f'/{pattern}'.replace('/**/', '*/'))
        for pattern in patterns
        if pattern and not pattern.startswith('#')
        for prefix in prefixes
    )


def test_every_copied_path_exists_and_reaches_the_builder(instructions):
    paths = copied(instructions)
    assert {'.', 'requirements', 'scripts/install_locked.sh', 'docker/entrypoint.sh'} <= set(paths)
    assert not [path for path in paths if not (ROOT / path).exists()]
    assert not [path for path in paths if is_ignored(path)]


def test_the_builder_gets_all_that_cmake_installs_and_no_virtual_environment():
    cmake = (ROOT / 'CMakeLists.txt').read_text()
    modules = set(re.findall(r'^    (flash_vstream_ros/\w+)$', cmake, re.MULTILINE))
    installed = modules | {
        'config',
        'launch',
        'models',
        'package.xml',
        'msg',
        'srv',
        'action',
        'cmake',
    }
    assert len(modules) > 5
    assert not [path for path in installed if is_ignored(path)]
    assert all(map(is_ignored, ('.venv/bin', '.git', 'build', 'a/__pycache__/b.pyc', 'runs/x')))


def test_it_starts_as_a_numbered_user_that_is_not_root(instructions):
    assert of(instructions, 'USER')[-1] == '${UID}'
    assert int(dict(a.split('=') for a in of(instructions, 'ARG') if 'UID' in a)['UID']) > 0


def test_it_ends_as_ctrl_c_would(instructions):
    """SIGTERM would leave the nodes behind `ros2 launch` without an end of their own."""
    assert of(instructions, 'STOPSIGNAL') == ['SIGINT']
    assert of(instructions, 'ENTRYPOINT') == ['["/opt/entrypoint.sh"]']


def test_python_packages_are_installed_by_hash_and_numpy_stays_the_system_s(instructions):
    (run,) = [a for a in of(instructions, 'RUN') if 'install_locked.sh' in a]
    left = re.search(r"LEAVE='?(\S+).* scripts/install_locked\.sh \S+ \$LISTS$", run)[1]
    if left == '"$LEAVE"':  # what it is where nobody builds with another
        left = next(a for a in of(instructions, 'ARG') if a.startswith('LEAVE=')).split('"')[1]
    assert left.startswith('numpy')
    assert 'LISTS=robot' in of(instructions, 'ARG')


def test_every_command_is_one_that_bash_understands(instructions):
    for command in of(instructions, 'RUN'):
        subprocess.run(['bash', '-n', '-c', command], check=True)


def test_the_base_is_named_with_its_release(instructions):
    base = of(instructions, 'FROM')[0]
    assert base == '${BASE} AS dependencies'
    (image,) = [a.removeprefix('BASE=') for a in of(instructions, 'ARG') if a.startswith('BASE=')]
    assert re.search(r':jazzy-\S+$', image)


def test_the_entry_point_may_be_executed():
    assert os.access(DOCKER / 'entrypoint.sh', os.X_OK)


@pytest.fixture
def recorder(tmp_path):
    """Run the entry point among files and a program that only record that they were."""
    record = tmp_path / 'record'
    setups = {}
    for name in ('ROS_SETUP', 'PACKAGE_SETUP'):
        path = tmp_path / name
        path.write_text(f'echo sourced {name} >>"$RECORD"\n')
        setups[name] = str(path)
    bin_folder = tmp_path / 'venv' / 'bin'
    bin_folder.mkdir(parents=True)
    (bin_folder / 'activate').write_text(
        'echo sourced venv >>"$RECORD"; PATH=$VIRTUAL_ENV/bin:$PATH\n'
    )
    (bin_folder / 'ros2').write_text(PROGRAM)
    (bin_folder / 'ros2').chmod(0o755)
    environment = (
        os.environ | setups | {'RECORD': str(record), 'VIRTUAL_ENV': str(tmp_path / 'venv')}
    )

    def run(*words: str) -> tuple[subprocess.CompletedProcess, list[str]]:
        record.write_text('')
        done = subprocess.run(
            [DOCKER / 'entrypoint.sh', *words],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return done, record.read_text().splitlines()

    return run


SOURCED = ['sourced ROS_SETUP', 'sourced venv', 'sourced PACKAGE_SETUP']
LAUNCH = ['launch', 'flash_vstream_ros', 'flash_vstream.launch.py']


def test_arguments_of_the_container_go_to_the_launch_file(recorder):
    done, lines = recorder('model:=/models/a b', 'image:=/camera')
    assert done.returncode == 0, done.stderr
    assert lines == [*SOURCED, *LAUNCH, 'model:=/models/a b', 'image:=/camera', '']


def test_without_arguments_the_launch_file_has_its_defaults(recorder):
    assert recorder()[1] == [*SOURCED, *LAUNCH, '']


def test_another_command_runs_in_the_same_environment(recorder):
    done, lines = recorder('bash', '-c', 'echo "$VIRTUAL_ENV"; ros2 topic list; exit 3')
    assert done.returncode == 3
    assert done.stdout.strip().endswith('venv')
    assert lines == [*SOURCED, 'topic', 'list', '']
