# SPDX-License-Identifier: Apache-2.0
"""Installs the parts that need no ROS, for machines without it: `pip install .`.

With ROS the package is built by colcon from CMakeLists.txt, which does not read this file.
"""

import xml.etree.ElementTree as ET
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
PACKAGE = ET.parse(ROOT / 'package.xml').getroot()
REQUIREMENTS = (ROOT / 'requirements' / 'core.txt').read_text().splitlines()

setup(
    name=PACKAGE.findtext('name'),
    version=PACKAGE.findtext('version'),
    description=' '.join(PACKAGE.findtext('description').split()),
    license='Apache-2.0',
    python_requires='>=3.11',
    packages=[
        'flash_vstream_ros',
        'flash_vstream_ros.core',
        'flash_vstream_ros.nodes',
        'flash_vstream_ros.replay',
    ],
    install_requires=[line for line in REQUIREMENTS if line and not line.startswith('#')],
    entry_points={'console_scripts': ['flash_vstream = flash_vstream_ros.__main__:main']},
)
