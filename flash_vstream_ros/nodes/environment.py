# SPDX-License-Identifier: Apache-2.0
"""The environment each process needs so that images are not lost.

One source for the launch files, the demo and the tests.
"""

import os
from collections.abc import Mapping
from pathlib import Path

PACKAGE = 'flash_vstream_ros'

# Fast DDS 2 of ROS 2 Jazzy reads the first, Fast DDS 3 of Kilted and newer the second. Never both:
# rmw_fastrtps would load the profile twice and complain.
PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')

# Freed message buffers are kept instead of being given back page by page for every image; bytes.
MALLOC_SETTINGS = {
    'MALLOC_MMAP_THRESHOLD_': '1073741824',
    'MALLOC_TRIM_THRESHOLD_': '4294967296',
    'MALLOC_TOP_PAD_': '67108864',
}


def fastdds_profile_path() -> Path:
    """Find the shipped Fast DDS profile: in the installed package, else in the source tree.

    :returns: path of `fastdds.xml`.
    :raises FileNotFoundError: if it is in neither place.
    """
    folders = [*_share_folders(), Path(__file__).resolve().parents[2]]
    paths = [folder / 'config' / 'fastdds.xml' for folder in folders]
    for path in paths:
        if path.is_file():
            return path
    raise FileNotFoundError(
        f'the Fast DDS profile is at none of {[str(path) for path in paths]}; it comes with the '
        f'package: build {PACKAGE} with colcon and source install/setup.bash'
    )


def _share_folders() -> list[Path]:
    """List the share folder of the installed package, where ROS is and the package is built."""
    try:
        from ament_index_python.packages import (
            PackageNotFoundError,
            get_package_share_directory,
        )
    except ImportError:
        return []
    try:
        return [Path(get_package_share_directory(PACKAGE))]
    except (PackageNotFoundError, OSError):  # not built, or nothing sourced
        return []


def _profile(existing: Mapping[str, str]) -> dict[str, str]:
    """Name the shipped profile, unless the user has named a profile in either variable."""
    if any(name in existing for name in PROFILE_VARIABLES):
        return {}
    name = PROFILE_VARIABLES[existing.get('ROS_DISTRO') != 'jazzy']
    return {name: str(fastdds_profile_path())}


def _malloc_settings(existing: Mapping[str, str]) -> dict[str, str]:
    """Keep those of the malloc settings that the user has not set."""
    return {name: value for name, value in MALLOC_SETTINGS.items() if name not in existing}


def camera_environment(existing: Mapping[str, str] | None = None) -> dict[str, str]:
    """Tell what a process of images needs: a camera, a replay client, the frame handler.

    The profile, because it is the publisher's shared memory that counts; the frame handler
    publishes snapshots of 1.4 MB.

    :param existing: variables the process has already; default: those of this process.
    :returns: variables to add; what `existing` sets is never among them.
    """
    existing = os.environ if existing is None else existing
    return _profile(existing) | _malloc_settings(existing)


def question_handler_environment(existing: Mapping[str, str] | None = None) -> dict[str, str]:
    """Tell what the question handler needs.

    The profile only: the malloc settings would keep the pages of loaded weights.

    :param existing: variables the process has already; default: those of this process.
    :returns: variables to add; what `existing` sets is never among them.
    """
    return _profile(os.environ if existing is None else existing)
