# SPDX-License-Identifier: Apache-2.0
"""Names of devices and types."""

import pytest
import torch

from flash_vstream_ros.core.devices import (
    check_decoding,
    multiplies_bfloat16,
    resolve_device,
    resolve_dtype,
)

CPU, CUDA = torch.device('cpu'), torch.device('cuda')


def test_auto_is_cuda_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    for there, expected in ((True, CUDA), (False, CPU)):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda there=there: there)
        assert resolve_device('auto') == expected


def test_a_device_may_be_a_name_or_torchs_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    assert resolve_device('cpu') == resolve_device(CPU) == CPU
    assert resolve_device('cuda:1') == torch.device('cuda', 1)
    assert resolve_device('cuda') == CUDA


@pytest.mark.parametrize('name', ['cuda:2', 'cuda:7'])
def test_a_device_that_is_not_there_is_refused_with_how_many_are(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    with pytest.raises(ValueError, match=f'device: {name} is not there; this machine has 2'):
        resolve_device(name)


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    with pytest.raises(ValueError, match='device: cuda is not there; this machine has 0'):
        resolve_device('cuda')


@pytest.mark.parametrize('name', ['gpu', '', 'cuda:x', 'cpu gpu'])
def test_a_name_of_no_device_is_refused(name):
    with pytest.raises(ValueError, match='device: expected auto, cpu, cuda') as error:
        resolve_device(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_a_type_may_be_a_name_or_torchs_own(dtype):
    assert resolve_dtype(dtype, CPU) == dtype
    assert resolve_dtype(str(dtype).removeprefix('torch.'), CUDA) == dtype


def test_auto_is_float16_on_cuda_and_float32_elsewhere():
    assert resolve_dtype('auto', CUDA) == torch.float16
    assert resolve_dtype('auto', CPU) == torch.float32


@pytest.mark.parametrize(
    ('found', 'expected'),
    [
        ({'avx512_bf16': True, 'amx_bf16': False}, True),
        ({'avx512_bf16': False, 'amx_bf16': True}, True),
        ({'avx512_bf16': False, 'amx_bf16': False, 'avx2': True}, False),
        ({'architecture': 'another'}, True),
    ],
)
def test_a_cpu_says_whether_it_multiplies_bfloat16(found, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: found, raising=False)
    assert multiplies_bfloat16(CPU) == expected
    assert multiplies_bfloat16(CUDA)


@pytest.mark.parametrize('dtype', ['float64', 'int8', '', torch.int8, torch.complex64])
def test_a_type_that_no_model_runs_in_is_refused(dtype):
    with pytest.raises(ValueError, match='dtype: expected auto or one of'):
        resolve_dtype(dtype, CPU)


@pytest.mark.parametrize(
    ('decoding', 'device'),
    [('plain', CPU), ('plain', CUDA), ('compiled', CPU), ('compiled', CUDA), ('graph', CUDA)],
)
def test_passes_run_in_every_way_that_a_device_has(decoding, device):
    check_decoding(decoding, device)


def test_a_way_of_decoding_that_cannot_be_had_is_refused():
    with pytest.raises(ValueError, match='decoding: graph needs a CUDA device, this is cpu'):
        check_decoding('graph', CPU)
    with pytest.raises(ValueError, match=r"decoding: expected one of .*'compiled'.*, got 'fast'"):
        check_decoding('fast', CPU)


def test_what_waits_for_the_device_in_each_layer_is_not_captured():
    with pytest.raises(ValueError, match='decoding: graph cannot capture int8 layers'):
        check_decoding('graph', CUDA, 'int8')
    for decoding, quantization in (('graph', 'nf4'), ('plain', 'int8'), ('compiled', 'int8')):
        check_decoding(decoding, CUDA, quantization)
