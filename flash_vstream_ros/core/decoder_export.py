# SPDX-License-Identifier: Apache-2.0
"""The language model of a checkpoint as a folder of its own, for a server to serve."""

import json
import shutil
from pathlib import Path

import torch

from flash_vstream_ros.core.checkpoint import load_checkpoint
from flash_vstream_ros.core.checkpoint_files import resolve_folder
from flash_vstream_ros.core.devices import resolve_dtype

CPU = torch.device('cpu')


def export_decoder(model: str | Path, out: Path, dtype: str = 'float16') -> Path:
    """Write the language model as transformers saves a Llama: config, weights and tokenizer.

    :param model: a checkpoint in the published layout.
    :param out: folder; what it holds of these names is overwritten.
    :param dtype: of the weights.
    :returns: the folder.
    :raises OSError: a file cannot be read or written.
    :raises ValueError: the checkpoint is of no use.
    """
    folder = resolve_folder(model)
    modules = load_checkpoint(folder, CPU, resolve_dtype(dtype, CPU), ('language',))
    llama = modules.language_model.llama
    llama.save_pretrained(out)
    shutil.copyfile(folder / 'tokenizer.model', out / 'tokenizer.model')
    about = {
        'tokenizer_class': 'LlamaTokenizer',
        'legacy': True,
        'add_bos_token': True,
        'bos_token': '<s>',
        'eos_token': '</s>',
        'unk_token': '<unk>',
    }
    (out / 'tokenizer_config.json').write_text(json.dumps(about, indent=1) + '\n')
    return out
