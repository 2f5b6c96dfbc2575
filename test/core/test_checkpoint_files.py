# SPDX-License-Identifier: Apache-2.0
"""Files of a checkpoint: damaged, missing and foreign ones are named; no hub without network."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from flash_vstream_ros.core.checkpoint_files import (
    CheckpointError,
    check_files,
    read_json,
    read_tensors,
    resolve_folder,
)


def refuses(folder: Path, *said: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(said[0])) as error:
        list(read_tensors(folder))
    for words in said:
        assert words in str(error.value)


def tensors() -> dict[str, torch.Tensor]:
    return {'a.weight': torch.arange(12.0).view(3, 4), 'b': torch.ones(2, dtype=torch.bfloat16)}


def write(path: Path) -> Path:
    if path.suffix == '.bin':
        torch.save(tensors(), path)
    else:
        save_file(tensors(), path)
    return path


@pytest.mark.parametrize('name', ['model.safetensors', 'pytorch_model.bin'])
def test_one_file_without_an_index_is_read(name, tmp_path):
    path = write(tmp_path / name)
    found = {key: (tensor, source) for key, tensor, source in read_tensors(tmp_path)}
    assert found.keys() == tensors().keys()
    for key, (tensor, source) in found.items():
        assert torch.equal(tensor, tensors()[key])
        assert source == str(path)


def test_a_file_of_before_torch_1_6_is_read(tmp_path):
    torch.save(tensors(), tmp_path / 'pytorch_model.bin', _use_new_zipfile_serialization=False)
    assert {key for key, _, _ in read_tensors(tmp_path)} == set(tensors())


@pytest.mark.parametrize('suffix', ['safetensors', 'bin'])
def test_all_files_of_an_index_are_read_and_no_other(suffix, tmp_path):
    stem = 'model' if suffix == 'safetensors' else 'pytorch_model'
    for number in (1, 2, 3):
        one = {f'key{number}': torch.ones(number)}
        path = tmp_path / f'{stem}-{number}.{suffix}'
        save_file(one, path) if suffix == 'safetensors' else torch.save(one, path)
    weight_map = {'key1': f'{stem}-1.{suffix}', 'key2': f'{stem}-2.{suffix}'}
    (tmp_path / f'{stem}.{suffix}.index.json').write_text(json.dumps({'weight_map': weight_map}))
    assert [key for key, _, _ in read_tensors(tmp_path)] == ['key1', 'key2']


def test_safetensors_are_preferred(tmp_path):
    write(tmp_path / 'model.safetensors')
    (tmp_path / 'pytorch_model.bin').write_bytes(b'never opened')
    assert len(list(read_tensors(tmp_path))) == 2


def test_no_weights_are_named_with_what_was_expected(tmp_path):
    refuses(tmp_path, str(tmp_path), 'model.safetensors', 'pytorch_model.bin.index.json')


def test_a_missing_shard_is_named_with_the_index(tmp_path):
    index = tmp_path / 'model.safetensors.index.json'
    index.write_text('{"weight_map": {"a": "model-7.safetensors"}}')
    refuses(tmp_path, 'model-7.safetensors: the file is missing', index.name)


@pytest.mark.parametrize(
    'content', ['{}', '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": null}']
)
def test_an_index_without_a_map_is_named(content, tmp_path):
    (tmp_path / 'model.safetensors.index.json').write_text(content)
    refuses(tmp_path, 'model.safetensors.index.json', 'weight_map')


@pytest.mark.parametrize('value', [3, None, ['model.safetensors'], {}])
def test_an_index_that_names_no_file_is_named(value, tmp_path):
    content = json.dumps({'weight_map': {'a': 'model-1.safetensors', 'b': value}})
    (tmp_path / 'model.safetensors.index.json').write_text(content)
    refuses(tmp_path, 'model.safetensors.index.json', 'weight_map')


@pytest.mark.parametrize('name', ['model.safetensors', 'pytorch_model.bin'])
@pytest.mark.parametrize('share', [0.0, 0.002, 0.05, 0.4, 0.8, 0.999])
def test_a_file_cut_off_is_named(name, share, tmp_path):
    path = write(tmp_path / name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refuses(tmp_path, str(path))


@pytest.mark.parametrize('share', [0.1, 0.5, 0.9, 0.99])
def test_an_old_file_cut_off_is_named(share, tmp_path):
    path = tmp_path / 'pytorch_model.bin'
    torch.save(tensors(), path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refuses(tmp_path, str(path))


@pytest.mark.parametrize('name', ['model.safetensors', 'pytorch_model.bin'])
@pytest.mark.parametrize(
    'content', [b'<html>not found</html>' * 20, bytes(300), b'version https://git', b'PK\x03\x04']
)
def test_a_file_of_something_else_is_named(name, content, tmp_path):
    """As a page of an error saved under the name, or the pointer that Git LFS leaves."""
    (tmp_path / name).write_bytes(content)
    refuses(tmp_path, str(tmp_path / name))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'harm'),)

    torch.save({'a': Harm()}, tmp_path / 'pytorch_model.bin')
    refuses(tmp_path, 'pytorch_model.bin')
    assert not (tmp_path / 'harm').exists()


@pytest.mark.parametrize('content', [[torch.ones(2)], {'a': 3}, {'state': {'a': torch.ones(1)}}])
def test_a_file_without_tensors_by_name_is_refused(content, tmp_path):
    torch.save(content, tmp_path / 'pytorch_model.bin')
    refuses(tmp_path, 'pytorch_model.bin', 'expected tensors by name')


@pytest.mark.parametrize('content', [b'', b'{', b'[1, 2]', b'"text"', b'\xff\xfe', b'null'])
def test_bad_json_is_named(content, tmp_path):
    (tmp_path / 'config.json').write_bytes(content)
    with pytest.raises(CheckpointError, match=r'config\.json: expected .*JSON'):
        read_json(tmp_path / 'config.json')


def test_missing_json_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r'config\.json: the file is missing'):
        read_json(tmp_path / 'config.json')


def test_a_folder_is_found_and_a_file_is_none(tmp_path, monkeypatch):
    assert resolve_folder(tmp_path) == tmp_path
    assert resolve_folder(str(tmp_path)) == tmp_path
    monkeypatch.setenv('HOME', str(tmp_path))
    assert resolve_folder('~') == tmp_path
    (tmp_path / 'weights').touch()
    with pytest.raises(CheckpointError, match='expected the folder of a checkpoint, got a file'):
        resolve_folder(tmp_path / 'weights')


@pytest.mark.parametrize('path', ['/no/such/folder', 'nothing', 'a/b/c', '../owner/name', 'a b/c'])
def test_what_is_no_folder_and_no_hub_id_is_refused_without_asking_the_hub(path, monkeypatch):
    monkeypatch.chdir('/')
    with pytest.raises(CheckpointError, match='no such folder'):
        resolve_folder(path)


def test_no_path_is_refused_in_words():
    with pytest.raises(CheckpointError, match='expected a checkpoint'):
        resolve_folder('')


ASK_THE_HUB = """
import sys, time
time.sleep = lambda seconds: None  # between the client's own attempts
from flash_vstream_ros.core.checkpoint_files import CheckpointError, resolve_folder
for name in sys.argv[1:]:
    try:
        print('found', resolve_folder(name))
    except CheckpointError as error:
        print('refused', str(error).replace(chr(10), ' '))
"""


@pytest.fixture
def cached(tmp_path: Path, golden: Path) -> Path:
    """A hub's cache that holds one model, robot/seen, fetched before."""
    revision = 'a' * 40
    repository = tmp_path / 'hub' / 'models--robot--seen'
    folder = repository / 'snapshots' / revision
    folder.mkdir(parents=True)
    (repository / 'refs').mkdir()
    (repository / 'refs' / 'main').write_text(revision)
    (folder / 'config.json').write_text('{}')
    save_file(load_file(golden / 'answer.safetensors'), folder / 'model.safetensors')
    return folder


@pytest.mark.parametrize(
    'network',
    [{'HF_HUB_OFFLINE': '1'}, {'HF_ENDPOINT': 'http://127.0.0.1:9'}],
    ids=['told-offline', 'no-network'],
)
def test_a_robot_without_network(network, cached):
    """A model never fetched is refused in words; one fetched before is loaded."""
    environment = os.environ | {'HF_HOME': str(cached.parents[3])} | network
    command = [sys.executable, '-c', ASK_THE_HUB, 'nobody/nothing', 'robot/seen', 'nobody/x@v1']
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith('refused nobody/nothing: no such folder, and the hub')
    assert lines[1] == f'found {cached}'
    assert lines[2].startswith('refused nobody/x@v1: no such folder, and the hub')


@pytest.fixture
def whole(tmp_path) -> Path:
    """A checkpoint with a vision tower beside it, as far as files go."""
    (tmp_path / 'config.json').write_text('{"mm_vision_tower": "tower"}')
    (tmp_path / 'tokenizer.model').write_bytes(b'pieces')
    (tmp_path / 'tower').mkdir()
    write(tmp_path / 'tower' / 'model.safetensors')
    write(tmp_path / 'pytorch_model.bin')
    return tmp_path


def test_files_that_are_all_there_are_found_whole(whole):
    check_files(whole)


def test_the_home_of_nobody_is_no_folder():
    with pytest.raises(CheckpointError, match='~nosuch_user/model: no such folder'):
        check_files('~nosuch_user/model')


def test_a_tower_of_which_only_the_config_lies_beside_is_whole(whole):
    """Its weights are those of the checkpoint."""
    (whole / 'tower' / 'model.safetensors').unlink()
    (whole / 'tower' / 'config.json').write_text('{}')
    check_files(whole)


@pytest.mark.parametrize('name', ['config.json', 'tokenizer.model', 'pytorch_model.bin'])
def test_without_reading_weights_a_missing_file_is_named(whole, name):
    (whole / name).unlink()
    with pytest.raises(CheckpointError, match=r'missing|found none'):
        check_files(whole)


@pytest.mark.parametrize('name', ['pytorch_model.bin', 'tower/model.safetensors'])
@pytest.mark.parametrize('share', [0.0, 0.5])
def test_without_reading_weights_a_file_that_is_cut_off_is_named(whole, name, share):
    content = (whole / name).read_bytes()
    (whole / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=rf'{Path(name).name}: damaged'):
        check_files(whole)


def test_what_was_not_downloaded_is_not_downloaded_to_look_at_it(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError('the hub was asked')

    monkeypatch.setattr('huggingface_hub.HfApi.model_info', refuse)
    with pytest.raises(
        CheckpointError, match='nobody/nothing: no such folder, and not downloaded'
    ):
        check_files('nobody/nothing')
