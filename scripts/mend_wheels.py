# SPDX-License-Identifier: Apache-2.0
"""Corrects the CMake exports of the ROS wheels, which name folders of their build machine.

Usage: .venv/bin/python scripts/mend_wheels.py

The wheels' exports of Python interfaces hold the include folders of the Python and the NumPy they
were built with. Both exist here too, elsewhere.
"""

import sys
import sysconfig
from pathlib import Path

import numpy as np

TAG = f'cp{sys.version_info.major}{sys.version_info.minor}'
PYTHON = f'python{sys.version_info.major}.{sys.version_info.minor}'
BUILD_MACHINE = '/opt/python/'


def replacements() -> dict[str, str]:
    """Pair the build machine's folders with those of this Python.

    :returns: the folder named in the wheels -> the folder that takes its place.
    """
    prefix = f'{BUILD_MACHINE}{TAG}-{TAG}'
    return {
        f'{prefix}/include/{PYTHON}': sysconfig.get_path('include'),
        f'{prefix}/lib/{PYTHON}/site-packages/numpy/_core/include': np.get_include(),
    }


def mend(share: Path) -> int:
    """Replace the build machine's folders in every CMake export under a folder; idempotent.

    :param share: the folder `share` of the virtual environment.
    :returns: number of exports that are right now.
    :raises RuntimeError: if an export names a folder of another Python's build machine.
    """
    right = 0
    for path in sorted(share.rglob('*Export*.cmake')):
        found = path.read_text()
        text = found
        for theirs, ours in replacements().items():
            text = text.replace(theirs, ours)
        if BUILD_MACHINE in text:
            raise RuntimeError(
                f'{path} names a folder below {BUILD_MACHINE} that is not of {TAG}: '
                f'expected only {sorted(replacements())}; the wheel is not for this Python.'
            )
        if text != found:
            path.write_text(text)
        right += np.get_include() in text
    return right


def main() -> int:
    """Mend the environment this Python runs in; says something only where that fails.

    :returns: exit status, 1 where no export was found at all.
    """
    share = Path(sys.prefix) / 'share'
    if not mend(share):
        print(
            f'error: no CMake export under {share} names the folders of NumPy; expected about 20 '
            'of the ROS message wheels. Install requirements/ros.txt here first; if it is '
            'installed, its wheels have changed and this script must follow.',
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
