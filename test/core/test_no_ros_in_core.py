# SPDX-License-Identifier: Apache-2.0
"""The core runs on machines without ROS: no module of it imports ROS or a message."""

import ast
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import flash_vstream_ros.core.pipeline

CORE = Path(flash_vstream_ros.core.pipeline.__file__).parent
MODULES = sorted(CORE.glob('*.py'))
NAMES = [f'flash_vstream_ros.core.{path.stem}' for path in MODULES if path.stem != '__init__']
ROS = ('rclpy', 'rosidl', 'rpyutils', 'ament', 'launch', 'cv_bridge', 'rosbag2', 'tf2')
MESSAGES = ('_msgs', '_interfaces', '_srvs', '_actions')
# What the core is made of; anything else is a decision, to be made here.
ALLOWED = {'numpy', 'torch', 'transformers', 'safetensors', 'sentencepiece', 'huggingface_hub'}
# What only those need who ask for it; imported where it is used, not with the module.
OPTIONAL = {'quantization': {'bitsandbytes'}, 'remote_decoder': {'openai'}}


def imported(path: Path) -> list[str]:
    """Full names of all modules that a file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path.name}: relative imports hide where they lead'
            names += [f'{node.module}.{alias.name}' for alias in node.names]
    return names


def is_ros(name: str) -> bool:
    top = name.split('.')[0]
    return top.startswith(ROS) or top.endswith(MESSAGES)


def test_the_modules_were_found():
    assert {'pipeline', 'star_memory', 'encoder', 'checkpoint'} <= {path.stem for path in MODULES}


@pytest.mark.parametrize('path', MODULES, ids=lambda path: path.stem)
def test_a_module_imports_no_ros_no_message_and_nothing_of_the_nodes(path):
    for name in imported(path):
        assert not is_ros(name), f'{path.name} imports {name}'
        top, *rest = name.split('.')
        if top == 'flash_vstream_ros':
            assert rest[0] == 'core', f'{path.name} imports {name}: the core stands alone'


@pytest.mark.parametrize('path', MODULES, ids=lambda path: path.stem)
def test_a_module_imports_only_what_the_core_is_made_of(path):
    tops = {name.split('.')[0] for name in imported(path)}
    known = ALLOWED | set(sys.stdlib_module_names) | {'flash_vstream_ros'}
    assert tops - known == OPTIONAL.get(path.stem, set())


IMPORT_WITHOUT_ROS = """
import importlib, sys
ros, messages = eval(sys.argv[1])

class NoRos:
    def find_spec(self, name, path=None, target=None):
        top = name.split('.')[0]
        parts = name.split('.')[:2]
        ours = parts[0] == 'flash_vstream_ros' and parts[-1] in ('msg', 'srv', 'action')
        if top.startswith(ros) or top.endswith(messages) or ours:
            raise ModuleNotFoundError(f'there is no {name} on this machine', name=name)

sys.meta_path.insert(0, NoRos())
for name in ('rclpy', 'sensor_msgs.msg', 'flash_vstream_ros.msg'):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    sys.exit(f'{name} could be imported: this proves nothing')
for name in sys.argv[2:]:
    importlib.import_module(name)
late = ('rclpy', 'cv2', 'rosbags', 'openai', 'bitsandbytes')
found = [name for name in sys.modules if name.split('.')[0] in late]
sys.exit(f'imported: {found}' if found else 0)
"""


def test_every_module_is_imported_where_there_is_no_ros():
    command = [sys.executable, '-c', IMPORT_WITHOUT_ROS, repr((ROS, MESSAGES)), *NAMES]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_names_of_ros_packages_installed_here_would_be_seen():
    """The two lists above against what is really there, where ROS is."""
    here = {name for name in packages_distributions() if name.endswith(('_msgs', '_interfaces'))}
    assert all(is_ros(name) for name in here | {'rclpy', 'rosidl_runtime_py', 'sensor_msgs'})
