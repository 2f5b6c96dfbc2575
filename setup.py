# SPDX-License-Identifier: Apache-2.0
"""Installs the parts that need no ROS, for machines without it: `pip install .`.

With ROS the package is built by colcon from CMakeLists.txt, which does not read this file.
"""

import xml.etree.ElementTree as ET
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
PACKAGE = ET.parse(ROOT / 'package.xml').getroot()


def requirements(name: str) -> list[str]:
    """Read a list of requirements and the lists it refers to.

    :param name: file name below requirements/.
    :returns: what to install, one requirement each.
    """
    lines = (ROOT / 'requirements' / name).read_text().splitlines()
    referred = [line.removeprefix('-r ') for line in lines if line.startswith('-r ')]
    own = [line for line in lines if line and not line.startswith(('#', '-r '))]
    return own + [item for other in referred for item in requirements(other)]


setup(
    name=PACKAGE.findtext('name'),
    version=PACKAGE.findtext('version'),
    description=' '.join(PACKAGE.findtext('description').split()),
    license='Apache-2.0',
    python_requires='>=3.11',
    packages=[
        'flash_vstream_ros',
        'flash_vstream_ros.core',
        'flash_vstream_ros.data',
        'flash_vstream_ros.evaluation',
        'flash_vstream_ros.nodes',
        'flash_vstream_ros.replay',
        'flash_vstream_ros.simulator',
        'flash_vstream_ros.training',
    ],
    install_requires=requirements('core.txt'),
    extras_require={
        'training': requirements('training.txt'),
        'evaluation': requirements('evaluation.txt'),
        'remote': requirements('remote.txt'),
        'quantization': requirements('quantization.txt'),
    },
    entry_points={'console_scripts': ['flash_vstream = flash_vstream_ros.__main__:main']},
)
