# SPDX-License-Identifier: Apache-2.0
"""Any text becomes ids that are text and nothing else, or is refused; any ids become text."""

from pathlib import Path
from tempfile import TemporaryDirectory

from damage import WILD_TEXT, damaged, outcome
from hypothesis import given
from hypothesis import strategies as st

from flash_vstream_ros.core.checkpoint_files import CheckpointError
from flash_vstream_ros.core.prompt import Prompt, RequestError, TextStream

TOKENIZER = Path(__file__).resolve().parents[1] / 'golden/checkpoint/tokenizer.model'
PROMPT = Prompt.from_file(TOKENIZER)
SCRATCH = TemporaryDirectory()
SPECIAL = {0, 1, 2}  # unknown, beginning and end of text
MARKS = ('</s>', '<s>', '<unk>', '<image>', '<0x0A>', '{question}', '{0}', '%s', 'ASSISTANT:')
TEXT = st.lists(WILD_TEXT | st.sampled_from(MARKS), max_size=4).map(''.join)


def is_text(text: str) -> bool:
    return bool(text.strip()) and not any('\ud800' <= letter <= '\udfff' for letter in text)


@given(TEXT)
def test_a_question_is_text_and_comes_back_as_it_was(text):
    ids = outcome(PROMPT.after_memory, text, refused_by=RequestError)
    assert isinstance(ids, list) == is_text(text), ids
    if isinstance(ids, list):
        assert not SPECIAL & set(ids)
        assert PROMPT.text(ids) == f'\n{text} ASSISTANT:'
    else:
        assert str(ids).startswith('question: expected ')


@given(TEXT)
def test_a_choice_ends_once_and_comes_back_as_it_was(text):
    ids = outcome(PROMPT.choice, text, refused_by=RequestError)
    assert isinstance(ids, list) == is_text(text), ids
    if isinstance(ids, list):
        assert not SPECIAL & set(ids[:-1])
        assert ids[-1] == PROMPT.end_id
        assert PROMPT.text(ids[:-1]) == text.strip()
    else:
        assert str(ids).startswith('choices: expected ')


@given(st.lists(st.integers(0, PROMPT.vocabulary + 3), max_size=40))
def test_pieces_of_any_ids_join_to_their_text(ids):
    stream = TextStream(PROMPT)
    pieces = [*map(stream.add, ids), stream.finish()]
    text = PROMPT.text(ids)
    assert ''.join(pieces) == text
    text.encode()


@given(damaged([TOKENIZER.read_bytes()]))
def test_a_tokenizer_is_read_or_refused(data):
    prompt = outcome(read_tokenizer, data, refused_by=CheckpointError)
    if isinstance(prompt, Prompt):
        ids = prompt.after_memory('Where is the cup?')
        assert all(0 <= number < prompt.vocabulary for number in ids)
        assert isinstance(prompt.text(ids), str)


def read_tokenizer(data: bytes) -> Prompt:
    path = Path(SCRATCH.name) / 'tokenizer.model'
    path.unlink(missing_ok=True)  # to write over a file would wait for the disk each time
    path.write_bytes(data)
    return Prompt.from_file(path)
