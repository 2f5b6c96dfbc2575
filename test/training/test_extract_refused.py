# SPDX-License-Identifier: Apache-2.0
"""What an extraction cannot do is said before the model is loaded."""

import errno
import tempfile
from dataclasses import replace

import pytest

from flash_vstream_ros.__main__ import main
from flash_vstream_ros.data.features import open_features
from flash_vstream_ros.simulator.description import PatrolDescription
from flash_vstream_ros.simulator.writing import Form, write_patrol
from flash_vstream_ros.training import extract
from flash_vstream_ros.training.perfect_features import PerfectEncoder, PerfectRecording


@pytest.fixture
def command(checkpoint, tmp_path):
    """Extract one patrol into the folder ``f``."""
    (tmp_path / 'data').mkdir()
    about = PatrolDescription(1, 60.0, 1.0, (64, 48))
    write_patrol(tmp_path / 'data/patrol.json', about, Form('description'))
    words = ['--model', str(checkpoint), '--out', str(tmp_path / 'f')]
    return ['extract', str(tmp_path / 'data'), *words]


@pytest.fixture
def no_model(monkeypatch):
    monkeypatch.setattr(extract.FlashVStream, 'from_pretrained', None)


@pytest.mark.parametrize(
    ('option', 'value', 'words'),
    [
        ('--sample-rate', '-1', 'sample_rate: expected a value from 0.0 to 1000.0, got -1.0'),
        ('--sample-rate', 'nan', 'sample_rate: expected a value'),
        ('--still-threshold', '300', 'still_threshold: expected a value from 0.0 to 255.0'),
        ('--dtype', 'float8', 'dtype: expected one of'),
    ],
)
def test_values_out_of_range_are_wrong_use(
    command, no_model, tmp_path, capsys, option, value, words
):
    with pytest.raises(SystemExit, match='2'):
        main([*command, option, value])
    assert words in capsys.readouterr().err
    assert not (tmp_path / 'f').exists()


@pytest.mark.parametrize('is_there', [True, False])
def test_a_folder_that_cannot_be_written_is_said_first(
    command, no_model, tmp_path, capsys, monkeypatch, is_there
):
    """Or else the first recording would be encoded for nothing."""

    def refuse(**_):
        raise OSError(errno.EROFS, 'Read-only file system')

    monkeypatch.setattr(tempfile, 'TemporaryFile', refuse)
    if is_there:
        (tmp_path / 'f').mkdir()
    assert main(command) == 1
    there = tmp_path / 'f' if is_there else tmp_path
    words = f'--out: {there}: no file can be written here: Read-only file system\n'
    assert capsys.readouterr().err.endswith(words)


def test_a_file_in_place_of_the_folder_is_said_first(command, no_model, tmp_path, capsys):
    (tmp_path / 'f').write_text('notes')
    assert main(command) == 1
    words = f'--out: expected a folder, but {tmp_path}/f is none\n'
    assert capsys.readouterr().err.endswith(words)


@pytest.fixture
def extract_perfectly(vstream, tmp_path):
    """Extract the patrol as another model's perfect features; returns what there is to say."""

    def extract_perfectly(width):
        encoder = PerfectEncoder(replace(vstream.geometry, feature_width=width))
        extraction = extract.Extraction(encoder, '', tmp_path / 'f')
        path = tmp_path / 'data/patrol.json'
        extraction.run({'patrol': path}, lambda path: PerfectRecording(path, encoder))
        return extraction.summary()

    return extract_perfectly


@pytest.mark.usefixtures('command')
def test_perfect_features_of_another_width_are_extracted_again(extract_perfectly, tmp_path):
    for width in (40, 80):
        assert extract_perfectly(width) == '1 recordings extracted'
        assert open_features(tmp_path / 'f/patrol.safetensors').width == width
    assert extract_perfectly(80) == '0 recordings extracted, 1 were there already'
