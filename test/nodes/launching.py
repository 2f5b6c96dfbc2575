# SPDX-License-Identifier: Apache-2.0
"""Launch files run for real, with a recorder in the place of each program.

launch's own `launch-prefix` puts it before the command, and it writes down what the program would
have been given.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

BOTH, REPLAY = 'flash_vstream.launch.py', 'replay.launch.py'
PROGRAMS = {BOTH: 2, REPLAY: 3}
TIMEOUT_S = 60.0

# Runs a launch file as `ros2 launch` does, which comes with another package: FILE NAME:=VALUE...
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

arguments = [tuple(word.split(':=', 1)) for word in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
included = IncludeLaunchDescription(source, launch_arguments=arguments)
service = LaunchService(argv=sys.argv[2:])
service.include_launch_description(LaunchDescription([included]))
sys.exit(service.run())
"""

# FOLDER COUNT PROGRAM WORD...: writes down what the program is given. It ends when all COUNT have,
# but the nodes of a replay stay, for it is the client that ends them.
RECORDER = """
import json, os, sys, time
from pathlib import Path

folder, count, program, *words = sys.argv[1:]
files = [Path(words[i + 1]) for i, word in enumerate(words) if word == '--params-file']
record = {'words': words, 'environment': dict(os.environ), 'files': [f.read_text() for f in files]}
name = Path(program).name
place = [word.split(':=')[1] for word in words if word.startswith('__ns:=')][0]
path = Path(folder, name if place.count('/') < 2 else place.split('/')[-1] + '_' + name)
path.with_suffix('.part').write_text(json.dumps(record))
path.with_suffix('.part').rename(path.with_suffix('.json'))
if path.name == os.environ.get('RECORDER_FAILS'):
    sys.exit(1)
while len(list(Path(folder).glob('*.json'))) < int(count):
    time.sleep(0.01)
if path.name == 'replay_client' and 'RECORDER_FAILS' not in os.environ:
    sys.exit(int(os.environ.get('RECORDER_STATUS', '0')))
if os.environ.get('RECORDER_STAYS'):
    time.sleep(60.0)
"""


@dataclass
class Given:
    """What a launched program was given."""

    words: list[str]
    environment: dict[str, str]
    parameters: dict[str, object]
    remaps: dict[str, str]


def read(path: Path) -> Given:
    """Read what the recorder wrote; a later parameter file goes over an earlier one."""
    record = json.loads(path.read_text())
    words = record['words']
    parts = [
        part for text in record['files'] for part in yaml.load(text, yaml.FullLoader).values()
    ]
    parameters = {k: v for part in parts for k, v in part['ros__parameters'].items()}
    remaps = [words[i + 1].split(':=') for i, word in enumerate(words) if word == '-r']
    return Given(words, record['environment'], parameters, dict(remaps))


class Launcher:
    """Launches a file with recorders in the place of its programs.

    :param environment: of the launch.
    """

    def __init__(self, repository: Path, folder: Path, environment: dict[str, str]) -> None:
        self._repository, self._folder, self._environment = repository, folder, environment
        self.output = ''
        (folder / 'recorder.py').write_text(RECORDER)

    def __call__(
        self, file: str, *arguments: str, status: int = 0, count: int = 0, **variables: str
    ) -> dict[str, Given]:
        """Launch it; returns program -> what it was given."""
        stays = {'RECORDER_STAYS': '1'} if file == REPLAY else {}
        recorder = [sys.executable, self._folder / 'recorder.py', self._folder]
        prefix = f'launch-prefix:={" ".join(map(str, recorder))} {count or PROGRAMS[file]}'
        words = [prefix, 'respawn:=false', *arguments]  # a recorder ends at once
        done = subprocess.run(
            [sys.executable, '-c', LAUNCH, self._repository / 'launch' / file, *words],
            env=self._environment | stays | variables,
            timeout=TIMEOUT_S,
            capture_output=True,
            text=True,
        )
        self.output = done.stdout + done.stderr
        assert done.returncode == status, self.output
        return {path.stem: read(path) for path in self._folder.glob('*.json')}
