# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the tests of the nodes: checkpoints, a node of the test's own, whole robots.

Starting a node takes seconds, most of them for its imports, so that two robots serve all tests;
each test gets them with an empty memory.
"""

import gc
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint

if TYPE_CHECKING:
    from launching import Launcher
    from own_nodes import Planner, Starter
    from robots import Robot, SpunNode
    from stand_ins import StandIn

    from flash_vstream_ros.nodes.client import VStreamClient

_numbers = itertools.count()


def _take_domain() -> None:
    """Where several processes test, each gets a ROS domain: the robots have fixed names."""
    worker = int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw'))
    domain = int(os.environ.get('ROS_DOMAIN_ID', '0'))
    if worker:
        os.environ['ROS_DOMAIN_ID'] = str((domain + 25 * worker) % 100 + 1)  # 101: the last one


_take_domain()


@pytest.fixture(autouse=True, scope='module')
def _participants_end_with_their_file() -> Iterator[None]:
    """A node that failed to start is one until it is collected, and the 33rd finds nobody."""
    yield
    gc.collect()


@pytest.fixture
def namespace() -> str:
    """A ROS namespace of the test's own, so that no test hears another."""
    return f'/test_{next(_numbers)}'


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint that both robots run."""
    return make_random_checkpoint(tmp_path_factory.mktemp('checkpoint') / 'robot')


@pytest.fixture(scope='session')
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the same form with other weights."""
    return make_random_checkpoint(tmp_path_factory.mktemp('checkpoint') / 'other', seed=1)


@pytest.fixture(scope='session')
def vstream(checkpoint: Path) -> Iterator[FlashVStream]:
    """The core, to compare with; on one thread as the robots' processes, for bits are compared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield FlashVStream.from_pretrained(checkpoint)
    torch.set_num_threads(threads)


@pytest.fixture
def spun(namespace: str) -> Iterator['SpunNode']:
    """A node in this process, spun by a thread."""
    from robots import SpunNode  # needs ROS, as some files of this folder do not

    spun = SpunNode(namespace)
    yield spun
    spun.close()


@pytest.fixture
def driver(namespace: str) -> Iterator['SpunNode']:
    """A camera driver's node, a participant of its own."""
    from robots import SpunNode

    driver = SpunNode(namespace, 'driver')
    yield driver
    driver.close()


@pytest.fixture
def said(capfd: pytest.CaptureFixture) -> Callable[[], str]:
    """All that was logged so far."""
    text = []

    def said() -> str:
        text.append(capfd.readouterr().err)
        return ''.join(text)

    return said


@pytest.fixture
def planner(namespace: str) -> Iterator['Planner']:
    """Who asks and manages nodes of the test's own."""
    from own_nodes import Planner

    planner = Planner(namespace)
    yield planner
    planner.close()


@pytest.fixture
def start(namespace: str, checkpoint: Path, tmp_path: Path) -> Iterator['Starter']:
    """Starts programs that end with the test."""
    from own_nodes import Starter

    starter = Starter(namespace, checkpoint, tmp_path)
    yield starter
    starter.close()


@pytest.fixture
def environment() -> dict[str, str]:
    """Variables of this process without those that a launch file would leave alone."""
    from flash_vstream_ros.nodes.environment import MALLOC_SETTINGS, PROFILE_VARIABLES

    ours = {*MALLOC_SETTINGS, *PROFILE_VARIABLES}
    return {name: value for name, value in os.environ.items() if name not in ours}


@pytest.fixture
def launch(repository: Path, tmp_path: Path, environment: dict[str, str]) -> 'Launcher':
    """Launches a file with recorders in the place of its programs."""
    from launching import Launcher

    return Launcher(repository, tmp_path, environment)


@pytest.fixture
def client(robot: 'Robot') -> Iterator['VStreamClient']:
    """A script's client of the robot: nobody spins for it."""
    from flash_vstream_ros.nodes.client import VStreamClient

    with VStreamClient(namespace=robot.namespace) as client:
        yield client


@pytest.fixture
def blind_robot(robot: 'Robot') -> Iterator['Robot']:
    """The robot without the test's own camera, which would be a second one beside a driver."""
    from own_nodes import RELIABLE
    from sensor_msgs.msg import Image

    node = robot.station.node
    robot.station.call(node.destroy_publisher, robot.camera)
    yield robot
    robot.camera = robot.station.call(node.create_publisher, Image, 'image', RELIABLE)


@pytest.fixture
def stand_in(namespace: str) -> Iterator['StandIn']:
    """A question handler that answers what the test tells it to, or never."""
    from stand_ins import StandIn

    stand_in = StandIn(namespace)
    yield stand_in
    stand_in.close()


def _run(tmp_path_factory: pytest.TempPathFactory, name: str, parameters: dict) -> Iterator:
    from robots import PROGRAMS, Robot

    robot = Robot(tmp_path_factory.mktemp(name), f'/{name}', parameters)
    try:
        robot.start(*PROGRAMS)
        yield robot
    finally:
        robot.close()


@pytest.fixture(scope='session')
def _robot(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator['Robot']:
    parameters = {
        # A whole number, as people write it
        'frame_handler': {
            'model': checkpoint,
            'sample_rate': 5,
            'publish_rate': 1000.0,
            'silence_timeout': 1.5,
        },
        'question_handler': {
            'model': checkpoint,
            'queue_size': 1,
            'batch_size': 1,
            'stale_after': 1.0,
        },
    }
    yield from _run(tmp_path_factory, 'robot', parameters)


@pytest.fixture(scope='session')
def _simulated_robot(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    parameters = {
        'frame_handler': {
            'model': checkpoint,
            'sample_rate': 0.0,
            'publish_rate': 5.0,
            'image_transport': 'compressed',
            'use_sim_time': True,
        },
        'question_handler': {'model': checkpoint, 'use_sim_time': True},
    }
    yield from _run(tmp_path_factory, 'simulated_robot', parameters)


@pytest.fixture
def robot(_robot: 'Robot') -> 'Robot':
    """Raw images, 5 of them a second; one question may wait; memory empty."""
    _robot.refresh()
    return _robot


@pytest.fixture
def simulated_robot(_simulated_robot: 'Robot') -> 'Robot':
    """Compressed images, all of them; simulated time, and nobody publishes a clock."""
    _simulated_robot.refresh()
    return _simulated_robot
