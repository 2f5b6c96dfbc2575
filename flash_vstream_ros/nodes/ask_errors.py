# SPDX-License-Identifier: Apache-2.0
"""Why there is no answer: one exception for each status of an answer, and for no answer at all."""

# ruff: noqa: N818 - they are named as the statuses are

from collections.abc import Sequence

from flash_vstream_ros.msg import Answer


class AskError(Exception):
    """There is no answer; the text says why and what to do.

    :param answer: the message that says so, with what was said until then; None where none came.
    """

    def __init__(self, message: str, answer: Answer | None = None) -> None:
        super().__init__(message)
        self.answer = answer


class ServerNotFound(AskError):
    """Nobody serves the question: it was never asked.

    :param namespaces: where there is a question handler.
    """

    def __init__(self, message: str, namespaces: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.namespaces = tuple(namespaces)


class ServerGone(AskError):
    """The question handler went away, or was started anew, before it had answered."""


class AnswerTimeout(AskError):
    """The time given to the question passed, for the question handler or for us."""


class MemoryEmpty(AskError):
    """No frame has been memorised yet."""


class Busy(AskError):
    """Too many questions are waiting; ask again later."""


class Cancelled(AskError):
    """The question was cancelled, by us or because a side is shutting down."""


class BadRequest(AskError):
    """The question cannot be answered as it is."""


class ModelError(AskError):
    """The model failed."""


class Inactive(AskError):
    """The question handler is configured but not active."""


_BY_NAME = {
    'MEMORY_EMPTY': MemoryEmpty,
    'BUSY': Busy,
    'TIMEOUT': AnswerTimeout,
    'CANCELLED': Cancelled,
    'BAD_REQUEST': BadRequest,
    'MODEL_ERROR': ModelError,
    'INACTIVE': Inactive,
}
# By name and tolerant: the interfaces of a robot may be older than this file, or newer.
_BY_STATUS = {
    getattr(Answer, name): (name, error)
    for name, error in _BY_NAME.items()
    if hasattr(Answer, name)
}


def status_name(status: int) -> str:
    """Name of a status of ``Answer``; of one that is not known here its number."""
    if status == Answer.OK:
        return 'OK'
    name, _ = _BY_STATUS.get(status, (f'status {status}', AskError))
    return name


def check_answer(answer: Answer) -> Answer:
    """Return an answer that is one.

    :raises AskError: the exception of its status; a status that is not known here: ``AskError``.
    """
    if answer.status == Answer.OK:
        return answer
    name, error = _BY_STATUS.get(answer.status, (f'status {answer.status}', AskError))
    raise error(f'{name}: {answer.message}', answer)
