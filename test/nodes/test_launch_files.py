# SPDX-License-Identifier: Apache-2.0
"""The launch files: what they start, with which names, parameters, remaps and environment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

pytest.importorskip('launch')
pytest.importorskip('launch_ros')

import rclpy
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from launching import BOTH, LAUNCH, REPLAY, TIMEOUT_S

from flash_vstream_ros.core.config import FrameHandlerConfig, QuestionHandlerConfig
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint
from flash_vstream_ros.nodes.environment import (
    MALLOC_SETTINGS,
    fastdds_profile_path,
)
from flash_vstream_ros.nodes.running import initialised


def test_each_node_goes_into_its_enclave(launch):
    arguments = ['enclaves:=true', 'cameras:=front=/front/image_raw', 'namespace:=/left']
    programs = launch(BOTH, *arguments)
    enclaves = {
        n: given.words[given.words.index('--enclave') + 1] for n, given in programs.items()
    }
    assert enclaves == {
        'question_handler': '/left/question_handler',
        'front_frame_handler': '/left/front/frame_handler',
    }


def test_without_enclaves_none_is_named(launch):
    for given in launch(BOTH).values():
        assert '--enclave' not in given.words


def test_what_concerns_the_language_model_goes_to_the_question_handler(launch):
    programs = launch(BOTH, 'quantization:=nf4', 'decoder_url:=http://host:8000/v1')
    parameters = programs['question_handler'].parameters
    assert parameters['quantization'] == 'nf4'
    assert parameters['decoder_url'] == 'http://host:8000/v1'
    assert not {'quantization', 'decoder_url'} & set(programs['frame_handler'].parameters)


def test_every_parameter_of_a_node_is_an_argument(launch):
    given = {
        'still_threshold': 3.0,
        'memory_folder': '/memories',
        'save_at_shutdown': True,
        'batch_size': 1,
        'decoder_model': '7',
    }
    programs = launch(BOTH, *(f'{n}:={str(v).lower()}' for n, v in given.items()))
    taken = {}
    for config, name in (
        (FrameHandlerConfig, 'frame_handler'),
        (QuestionHandlerConfig, 'question_handler'),
    ):
        parameters = programs[name].parameters
        assert not set(parameters) - set(config.__dataclass_fields__) - {'max_new_tokens'}
        taken |= {n: parameters[n] for n in given if n in parameters}
    assert taken == given
    for value, expected in zip(taken.values(), given.values(), strict=True):
        assert type(value) is type(expected)


def test_several_cameras_save_their_memories_in_folders_of_their_own(launch):
    arguments = ['cameras:=front=/front/image_raw rear=/rear/image_raw', 'memory_folder:=~/m']
    programs = launch(BOTH, *arguments, count=3)
    for name in ('front', 'rear'):
        assert programs[f'{name}_frame_handler'].parameters['memory_folder'] == f'~/m/{name}'


@pytest.mark.parametrize('file', [BOTH, REPLAY])
def test_every_argument_is_described(repository, file):
    path = str(repository / 'launch' / file)
    arguments = get_launch_description_from_python_launch_file(path).get_launch_arguments()
    assert {'model', 'image', 'params_file'} <= {argument.name for argument in arguments}
    for argument in arguments:
        assert argument.description not in ('', 'no description given'), argument.name


def test_both_nodes_are_named_and_without_arguments_keep_their_defaults(launch, repository):
    programs = launch(BOTH)
    assert set(programs) == {'frame_handler', 'question_handler'}
    overrides = yaml.safe_load((repository / 'config' / 'onboard.yaml').read_text())
    for name, given in programs.items():
        assert given.remaps['__node'] == name
        assert given.remaps['__ns'] == '/flash_vstream'
        assert given.parameters == overrides['/**']['ros__parameters']
        assert '--log-level' not in given.words


def test_arguments_become_parameters_of_their_type(launch):
    arguments = ['model:=7', 'device:=cpu', 'sample_rate:=2', 'use_sim_time:=true']
    programs = launch(BOTH, *arguments, 'namespace:=left', 'log_level:=debug')
    frame_handler = programs['frame_handler'].parameters
    assert frame_handler['model'] == '7'
    assert frame_handler['device'] == 'cpu'
    assert isinstance(frame_handler['sample_rate'], float)
    for given in programs.values():
        assert given.parameters['use_sim_time'] is True
        assert given.remaps['__ns'] == '/left'
        assert given.words[given.words.index('--log-level') + 1] == 'debug'
    assert 'sample_rate' not in programs['question_handler'].parameters


def test_an_argument_goes_before_the_file_of_overrides(launch, repository):
    file = repository / 'config' / 'tethered.yaml'
    programs = launch(BOTH, f'params_file:={file}', 'image_transport:=raw')
    assert programs['frame_handler'].parameters['image_transport'] == 'raw'
    assert programs['question_handler'].parameters['image_transport'] == 'compressed'


def test_each_of_several_cameras_has_its_frame_handler(launch):
    programs = launch(BOTH, 'cameras:=front=/front/image_raw rear=/rear/image_raw', count=3)
    assert set(programs) == {'front_frame_handler', 'rear_frame_handler', 'question_handler'}
    for name in ('front', 'rear'):
        given = programs[f'{name}_frame_handler']
        assert given.remaps['__ns'] == f'/flash_vstream/{name}'
        assert given.remaps['image'] == f'/{name}/image_raw'
        assert given.remaps['image/compressed'] == f'/{name}/image_raw/compressed'
    memories = programs['question_handler'].parameters['memories']
    assert list(memories) == ['front/memory', 'rear/memory']


@pytest.mark.parametrize(('namespace', 'below'), [('/', ''), ('robot/', '/robot')])
def test_cameras_may_be_in_any_namespace(launch, namespace, below):
    arguments = [f'namespace:={namespace}', 'cameras:=front=/front/image_raw']
    places = {given.remaps['__ns'] for given in launch(BOTH, *arguments).values()}
    assert f'{below}/front' in places


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['cameras:=front'], "expected NAME=TOPIC with different names, got 'front'"),
        (['cameras:=a=/x a=/y'], "got 'a=/y'"),
        (['cameras:=a=/x', 'one_process:=true'], 'one_process:=false with several cameras'),
        (['one_process:=yes'], "one_process: expected true or false, got 'yes'"),
        (['respawn:=1'], "respawn: expected true or false, got '1'"),
    ],
)
def test_an_argument_that_cannot_be_is_named(repository, environment, arguments, words):
    command = [sys.executable, '-c', LAUNCH, repository / 'launch' / BOTH, *arguments]
    done = subprocess.run(
        command, env=environment, timeout=TIMEOUT_S, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert words in done.stdout + done.stderr


def test_both_nodes_can_share_a_process(launch):
    programs = launch(BOTH, 'one_process:=true', 'image:=/camera', 'sample_rate:=2', count=1)
    assert set(programs) == {'one_process'}
    given = programs['one_process']
    assert '__node' not in given.remaps, 'it would name both'
    assert given.remaps['image'] == '/camera'
    assert given.parameters['sample_rate'] == 2.0


@pytest.mark.parametrize('file', ['onboard.yaml', 'tethered.yaml'])
def test_a_file_of_overrides_sets_known_parameters_to_values_they_may_have(repository, file):
    overrides = yaml.safe_load((repository / 'config' / file).read_text())['/**'][
        'ros__parameters'
    ]
    for config in (FrameHandlerConfig, QuestionHandlerConfig):
        known = {name for name in overrides if name in config.__dataclass_fields__}
        config(**{name: overrides.pop(name) for name in known})
    assert overrides == {}


def test_the_camera_topic_is_remapped_raw_and_compressed(launch):
    remaps = launch(BOTH, 'image:=/camera/image_raw')['frame_handler'].remaps
    assert remaps['image'] == '/camera/image_raw'
    assert remaps['image/compressed'] == '/camera/image_raw/compressed'


def test_each_program_has_its_environment(launch):
    programs = launch(BOTH)
    for given in programs.values():
        assert str(fastdds_profile_path()) in given.environment.values()
    assert MALLOC_SETTINGS.items() <= programs['frame_handler'].environment.items()
    assert not set(MALLOC_SETTINGS) & set(programs['question_handler'].environment)


def test_a_profile_of_the_users_own_stays(launch):
    for given in launch(BOTH, FASTDDS_DEFAULT_PROFILES_FILE='/robot/profile.xml').values():
        assert given.environment['FASTDDS_DEFAULT_PROFILES_FILE'] == '/robot/profile.xml'
        assert str(fastdds_profile_path()) not in given.environment.values()


def test_the_real_nodes_start_serve_and_end(repository, tmp_path, environment):
    model = make_random_checkpoint(tmp_path / 'model')
    words = [repository / 'launch' / BOTH, f'model:={model}', 'device:=cpu', 'image:=/front']
    process = subprocess.Popen([sys.executable, '-c', LAUNCH, *words], env=environment)
    try:
        with initialised():
            node = rclpy.create_node('observer')
            until = time.monotonic() + TIMEOUT_S
            while time.monotonic() < until and not (
                node.count_services('/flash_vstream/ask')
                and node.count_subscribers('/front')
                and node.count_publishers('/flash_vstream/memory')
            ):
                time.sleep(0.1)
            assert node.count_services('/flash_vstream/ask') == 1
            assert node.count_subscribers('/front') == 1
            assert node.count_publishers('/flash_vstream/memory') == 1
            _kill_and_see_it_come_back(node)
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.kill()


def _kill_and_see_it_come_back(node: rclpy.node.Node) -> None:
    """A node that dies is started again, and only that one."""
    former = _process_of('question_handler')
    other = _process_of('frame_handler')
    os.kill(former, signal.SIGKILL)
    until = time.monotonic() + TIMEOUT_S
    while _process_of('question_handler') in (former, 0) or not node.count_services(
        '/flash_vstream/ask'
    ):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert _process_of('frame_handler') == other


def _process_of(program: str) -> int:
    """Process of a program of the launch under test; 0: there is none."""
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            words = (folder / 'cmdline').read_bytes().split(b'\0')
            parent = int((folder / 'stat').read_text().rpartition(')')[2].split()[1])
            ours = (Path('/proc', str(parent), 'stat').read_text()).rpartition(')')[2].split()[1]
        except (OSError, ValueError):
            continue
        if int(ours) == os.getpid() and any(w.endswith(program.encode()) for w in words):
            return int(folder.name)
    return 0
