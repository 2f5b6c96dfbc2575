# SPDX-License-Identifier: Apache-2.0
"""A tool of LangChain, with which an agent asks the memory of a robot."""

from typing import Any

try:
    from langchain_core.tools import StructuredTool, ToolException
    from pydantic import BaseModel, Field, ValidationError
except ImportError as error:
    raise ImportError(
        f'{__name__} needs langchain-core: pip install langchain-core ({error})'
    ) from error

from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.ask_errors import (
    AnswerTimeout,
    AskError,
    BadRequest,
    Busy,
    Cancelled,
    Inactive,
    MemoryEmpty,
    ModelError,
    ServerGone,
    ServerNotFound,
)
from flash_vstream_ros.nodes.client import TIMEOUT_S, VStreamClient
from flash_vstream_ros.nodes.times import NS_PER_S, time_to_ns

DESCRIPTION = (
    'Asks what the camera of the robot has seen since it was started, in plain language. Give '
    'choices wherever the answer is one of a few: each then gets a probability. The answer names '
    'the stamps, in seconds, of the frames that it was computed from.'
)
_DO_NOT_REPEAT = 'Do not ask again before a person has seen to it.'
_CHANGE = 'Ask again with the arguments changed as the message says.'
_ADVICE = {
    AskError: 'Ask once more, after some seconds, and not again.',
    ValueError: _CHANGE,
    ServerNotFound: f"The robot's memory does not run. {_DO_NOT_REPEAT}",
    ServerGone: "The robot's memory went away. Ask once more, after some seconds.",
    AnswerTimeout: 'Ask something shorter, or give choices.',
    MemoryEmpty: 'Ask without stamps, or again when its camera runs.',
    Busy: 'Ask again after some seconds.',
    Cancelled: 'Ask again if the answer is still needed.',
    BadRequest: _CHANGE,
    ModelError: f"The robot's memory is broken. {_DO_NOT_REPEAT}",
    Inactive: f"The robot's memory is switched off. {_DO_NOT_REPEAT}",
}


class AskArguments(BaseModel):
    """What an agent may ask."""

    question: str = Field(description='What to ask, for instance: Is the kitchen door open?')
    choices: list[str] = Field(
        default=[],
        description='The possible answers, for instance: yes, no. Empty: a free answer.',
    )
    camera: str = Field(
        default='', description='Which camera, by its frame_id. Empty: the only or first one.'
    )
    from_stamp_s: float = Field(
        default=0.0,
        ge=0.0,
        description='Only what was seen since this stamp, in seconds as in answers. 0: all.',
    )
    to_stamp_s: float = Field(
        default=0.0, ge=0.0, description='And until this one. 0: to the newest frame.'
    )


def make_ask_tool(
    client: VStreamClient,
    name: str = 'ask_robot_memory',
    description: str = DESCRIPTION,
    timeout_s: float = TIMEOUT_S,
) -> StructuredTool:
    """Make the tool, for `invoke` and `ainvoke`.

    Where there is no answer the agent gets the reason and what to do as text, in a message whose
    status is ``error``.

    :param client: who asks.
    :param timeout_s: of each question.
    """

    def ask(**arguments: Any) -> str:
        try:
            answer = client.ask(**_request(arguments), timeout_s=timeout_s)
        except (AskError, ValueError) as error:
            raise ToolException(describe_error(error)) from error
        return describe_answer(answer, arguments['choices'])

    async def ask_async(**arguments: Any) -> str:
        try:
            answer = await client.ask_async(**_request(arguments), timeout_s=timeout_s)
        except (AskError, ValueError) as error:
            raise ToolException(describe_error(error)) from error
        return describe_answer(answer, arguments['choices'])

    return StructuredTool.from_function(
        func=ask,
        coroutine=ask_async,
        name=name,
        description=description,
        args_schema=AskArguments,
        handle_tool_error=True,
        handle_validation_error=_describe_fault,
    )


def _request(arguments: dict[str, Any]) -> dict[str, Any]:
    """Turn what an agent has given into what the client takes."""
    stretch = {
        f'{name}_ns': round(arguments[f'{name}_s'] * NS_PER_S)
        for name in ('from_stamp', 'to_stamp')
    }
    return {name: arguments[name] for name in ('question', 'choices', 'camera')} | stretch


def describe_answer(answer: Answer, choices: list[str]) -> str:
    """An answer as text: what was said, and what it was computed from."""
    shares = zip(choices, answer.choice_probabilities, strict=True)
    said = [answer.text, *(f'{share:.1%} {choice}' for choice, share in shares)]
    oldest, newest, *details = (
        f'{time_to_ns(stamp) / NS_PER_S:.1f} s'
        for stamp in (answer.oldest_stamp, answer.newest_stamp, *answer.key_stamps)
    )
    said.append(
        f'[from {answer.frames_seen} frames of camera {answer.camera!r}, stamped {oldest} to '
        f'{newest}; held in detail: {", ".join(details) or "none"}]'
    )
    if answer.stale:
        said.append(f'[STALE: the memory has had no new frame for {answer.memory_age:.0f} s]')
    return '\n'.join(said)


def describe_error(error: AskError | ValueError) -> str:
    """Why there is no answer, as text, with what an agent can do about it."""
    said = f'No answer: {error}. {_ADVICE[type(error)]}'
    if isinstance(error, AskError) and error.answer is not None and error.answer.text:
        said += f' Until then was said: {error.answer.text}'
    return said


def _describe_fault(error: ValidationError) -> str:
    faults = [f'{".".join(map(str, fault["loc"]))}: {fault["msg"]}' for fault in error.errors()]
    return f'No answer: {"; ".join(faults)}. {_CHANGE}'
