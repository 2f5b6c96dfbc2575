# SPDX-License-Identifier: Apache-2.0
"""Files of bags whose end is missing."""

import io
import struct
from pathlib import Path

import pytest
from recording_samples import T0, image, storage_file, write_bag

from flash_vstream_ros.replay.bag_parts import MCAP_END, MendedMcap, whole_records_end


def record(opcode: int, length: int) -> bytes:
    return struct.pack('<BQ', opcode, length) + bytes(length)


MAGIC = b'\x89MCAP0\r\n'
START = MAGIC + record(1, 10) + record(3, 5)


@pytest.mark.parametrize(
    ('rest', 'whole'),
    [
        (b'', 0),
        (record(5, 7), 16),
        (record(5, 7)[:-1], 0),  # a message cut off
        (record(5, 7) + b'\x05\x07', 16),  # the head of a record cut off
        (record(5, 7) + bytes(50), 16),  # zeros, as after a power cut
        (record(5, 7) + record(15, 4) + record(4, 3), 16),  # end of data, then the index
        (record(6, 30) + record(7, 2) + record(9, 1) + record(12, 0), 69),
    ],
)
def test_the_end_of_the_whole_records_is_found(rest: bytes, whole: int) -> None:
    file = io.BufferedReader(io.BytesIO(START + rest))
    assert whole_records_end(file) == len(START) + whole


def test_a_mended_file_reads_as_its_whole_records_and_an_end(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'bag', [image(i, T0 + i) for i in range(4)])
    path = storage_file(bag)
    with path.open('rb') as file:
        end = whole_records_end(file)
    expected = path.read_bytes()[:end] + MCAP_END
    with MendedMcap(path).open('rb') as file:
        assert file.read() == expected
        for offset, whence, length in ((-37, 2, 37), (end - 5, 0, 20), (0, 0, 8), (3, 1, 100)):
            reference = io.BytesIO(expected)
            reference.seek(11)
            file.seek(11)
            assert file.seek(offset, whence) == reference.seek(offset, whence)
            assert file.read(length) == reference.read(length)
