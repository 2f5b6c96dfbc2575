# SPDX-License-Identifier: Apache-2.0
"""Of a broken video one error is raised, and FFmpeg prints nothing of its own."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
from flash_vstream_ros.replay.recording import open_recording
try:
    open_recording(Path(sys.argv[1]))
except ValueError as error:
    print(error)
"""


def test_a_video_without_its_index_makes_no_noise(tmp_path: Path) -> None:
    path = tmp_path / 'cut.mp4'
    path.write_bytes(b'\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2' + bytes(5000))
    environment = {name: value for name, value in os.environ.items() if 'OPENCV' not in name}
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT, path],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert '0 frames could be read' in done.stdout
    assert done.stderr == ''
