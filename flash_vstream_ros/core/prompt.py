# SPDX-License-Identifier: Apache-2.0
"""Prompt: question -> token ids around the place of the memory."""

from collections.abc import Sequence
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from flash_vstream_ros.core.checkpoint_files import CheckpointError
from flash_vstream_ros.core.quoting import quote, shorten

SYSTEM = (
    'A chat between a curious user and an artificial intelligence assistant. The assistant gives '
    "helpful, detailed, and polite answers to the user's questions."
)
BEFORE_MEMORY = f'{SYSTEM} USER: '
AFTER_MEMORY = '\n{question} ASSISTANT:'
UNKNOWN = '�'
LONGEST_TEXT = 100_000  # characters; no context holds as much


class RequestError(ValueError):
    """A question that cannot be answered as it is asked; says why."""


class Prompt:
    """The published conversation, with the memory where ``<image>`` stood.

    The text before and after the memory is tokenised apart. Everything up to and with the memory
    is the same for every question on one snapshot. SentencePiece never reads a special token out
    of text, so that ``</s>`` or ``<image>`` in a question is what it looks like: text.

    :param tokenizer: the content of the checkpoint's ``tokenizer.model``.
    """

    def __init__(self, tokenizer: bytes) -> None:
        if not tokenizer:
            raise RuntimeError('the file is empty')  # SentencePiece would say so at first use
        self._pieces = SentencePieceProcessor(model_proto=tokenizer)
        self.end_id: int = self._pieces.eos_id()
        self.vocabulary: int = self._pieces.vocab_size()
        self._check_pieces()

    def _check_pieces(self) -> None:
        pieces = self._pieces
        for name, special in (('beginning', pieces.bos_id()), ('end', self.end_id)):
            if special < 0 or not pieces.is_control(special):
                raise RuntimeError(f'it has no control piece for the {name} of a text')
        for piece in range(self.vocabulary):  # not UTF-8: UnicodeDecodeError, now and not later
            pieces.id_to_piece(piece)

    @classmethod
    def from_file(cls, path: Path) -> 'Prompt':
        """Read ``tokenizer.model``.

        :raises CheckpointError: the file is missing or holds something else.
        """
        try:
            return cls(path.read_bytes())
        except FileNotFoundError as error:
            raise CheckpointError(f'{path}: the tokenizer is missing') from error
        except (OSError, RuntimeError, UnicodeDecodeError) as error:
            raise CheckpointError(
                f'{path}: expected a SentencePiece model: {shorten(error)}'
            ) from error

    def before_memory(self) -> list[int]:
        """Token ids of beginning of text, system text and the user's turn."""
        return [self._pieces.bos_id(), *self._pieces.encode(BEFORE_MEMORY)]

    def after_memory(self, question: str) -> list[int]:
        """Token ids of a question and the beginning of the assistant's turn.

        :raises RequestError: the question is empty, too long, or no Unicode text.
        """
        check_text('question', question)
        return self._pieces.encode(AFTER_MEMORY.format(question=question))

    def choice(self, text: str) -> list[int]:
        """Token ids of one whole answer, end of text included.

        :raises RequestError: the text is empty, too long, or no Unicode text.
        """
        check_text('choices', text, ' in each')
        return [*self._pieces.encode(text.strip()), self.end_id]

    def text(self, token_ids: Sequence[int]) -> str:
        """Text of generated token ids; an id that the tokenizer does not know becomes U+FFFD."""
        runs: list[str] = ['']
        known: list[int] = []
        for token_id in token_ids:
            if token_id < self.vocabulary:
                known.append(token_id)
                continue
            runs += [self._pieces.decode(known), UNKNOWN]
            known = []
        return ''.join(runs) + self._pieces.decode(known)


def check_text(name: str, text: str, where: str = '') -> None:
    """Check that a text can become tokens.

    :param name: what it is called.
    :raises RequestError: it is empty, too long, or no Unicode.
    """
    if len(text) > LONGEST_TEXT:
        raise RequestError(
            f'{name}: expected at most {LONGEST_TEXT} characters{where}, got {len(text)}'
        )
    if not text.strip():
        raise RequestError(f'{name}: expected some text{where}, got {quote(text)}')
    try:
        text.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair
        raise RequestError(
            f'{name}: expected Unicode text, got {quote(text)}: {error.reason}'
        ) from error


class TextStream:
    """Turns token ids into pieces of text as they come.

    A piece is held back while its last character is not complete: one can span several tokens.
    """

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._ids: list[int] = []
        self._said = ''

    def is_end(self, token_id: int) -> bool:
        """Whether a token is the end of the text."""
        return token_id == self._prompt.end_id

    def add(self, token_id: int) -> str:
        """Add a token and return the text that is now certain, often one word, at times none."""
        self._ids.append(token_id)
        text = self._prompt.text(self._ids)
        if text.endswith(UNKNOWN):
            return ''
        return self._say(text)

    def finish(self) -> str:
        """Return what was held back."""
        return self._say(self._prompt.text(self._ids))

    def _say(self, text: str) -> str:
        piece, self._said = text[len(self._said) :], text
        return piece
