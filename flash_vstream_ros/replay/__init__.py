# SPDX-License-Identifier: Apache-2.0
"""Recordings, questions to them, and the picture of a memory; no ROS needed."""

import os

# What is wrong with a video we say ourselves, in one line; OpenCV reads these when it begins.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
os.environ.setdefault('OPENCV_LOG_LEVEL', 'ERROR')
