# SPDX-License-Identifier: Apache-2.0
"""A tokenizer in Llama's form, trained on what the simulated patrol asks and answers."""

import io
from collections.abc import Iterator

from sentencepiece import SentencePieceTrainer

from flash_vstream_ros.core.prompt import AFTER_MEMORY, BEFORE_MEMORY
from flash_vstream_ros.simulator.questions import Questioner
from flash_vstream_ros.simulator.world import Patrol

FIRST_PATROL = 900_000
PATROLS = 40
SECONDS = 600.0
TIMES, QUESTIONS = 10, 15  # of each patrol


def train_tokenizer(vocabulary: int) -> bytes:
    """Train SentencePiece; equal arguments give equal tokenizers.

    :param vocabulary: pieces at most, 256 bytes among them for what no other piece spells.
    :returns: the content of ``tokenizer.model``.
    :raises ValueError: so few pieces do not spell it.
    """
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=_sentences(),
            model_writer=model,
            vocab_size=vocabulary,
            model_type='bpe',
            byte_fallback=True,
            normalization_rule_name='identity',
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            hard_vocab_limit=False,
            num_threads=1,
            minloglevel=2,
        )
    except (RuntimeError, ValueError) as error:
        raise ValueError(f'vocab_size: no tokenizer of {vocabulary} pieces: {error}') from error
    return model.getvalue()


def _sentences() -> Iterator[str]:
    for seed in range(FIRST_PATROL, FIRST_PATROL + PATROLS):
        questioner = Questioner(Patrol(seed, SECONDS), 0)
        yield BEFORE_MEMORY
        for at_s in questioner.times(TIMES):
            for question in questioner.ask(at_s, QUESTIONS):
                yield AFTER_MEMORY.format(question=question.question)
                yield question.answer
