# SPDX-License-Identifier: Apache-2.0
"""Features belong to what they were made of."""

import shutil

import torch

from flash_vstream_ros.__main__ import main
from flash_vstream_ros.data.features import open_features
from flash_vstream_ros.simulator.description import PatrolDescription
from flash_vstream_ros.simulator.writing import Form, write_patrol


def test_what_another_recording_of_the_name_gave_is_extracted_again(checkpoint, tmp_path):
    folder, out = tmp_path / 'data', tmp_path / 'features'
    words = ['extract', str(folder), '--model', str(checkpoint), '--out', str(out)]

    def extract_one(seed, minutes):
        about = PatrolDescription(seed, minutes * 60.0, 1.0, (64, 48))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write_patrol(folder / 'patrol.json', about, Form('description'))
        assert main(words) == 0
        return open_features(out / 'patrol.safetensors').read(3)

    first = extract_one(1, 1)
    assert torch.equal(extract_one(1, 1), first)
    assert not torch.equal(extract_one(2, 1), first)
    other = extract_one(1, 2)
    assert torch.equal(other, first)
    assert len(open_features(out / 'patrol.safetensors').stamps_ns) == 120


def test_replaced_features_of_another_recording_are_counted(checkpoint, tmp_path, caplog):
    for name, seeds in (('a', (1, 2)), ('b', (1, 3))):
        folder = tmp_path / name
        folder.mkdir()
        for number, seed in enumerate(seeds):
            about = PatrolDescription(seed, 30.0, 1.0, (64, 48))
            write_patrol(folder / f'cam_{number}.json', about, Form('description'))
        words = ['extract', str(folder), '--model', str(checkpoint)]
        assert main([*words, '--out', str(tmp_path / 'features')]) == 0
    assert caplog.messages[-1].endswith(
        '1 recordings extracted, 1 were there already, 1 replaced: they were of another recording'
    )


def test_what_is_no_recording_is_passed_over(checkpoint, tmp_path, capsys):
    folder, out = tmp_path / 'data', tmp_path / 'features'
    (folder / 'frames.json').mkdir(parents=True)
    (folder / 'frames.json' / '1000.png').write_bytes(b'no picture')
    (folder / 'gone.json').symlink_to(folder / 'nowhere')
    (folder / 'deep.json').write_text('[' * 100_000)
    write_patrol(
        folder / 'patrol.json', PatrolDescription(1, 60.0, 1.0, (64, 48)), Form('description')
    )
    words = ['extract', str(folder), '--model', str(checkpoint), '--out', str(out)]
    assert main(words) == 1
    assert open_features(out / 'patrol.safetensors').stamps_ns.shape == (60,)
