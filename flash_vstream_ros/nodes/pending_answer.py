# SPDX-License-Identifier: Apache-2.0
"""An answer that is still to come: wait for it, await it, read it as it is spoken, cancel it."""

import asyncio
from collections.abc import Callable, Generator, Iterator
from typing import Any

from rclpy.executors import Executor
from rclpy.task import Future

from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.exchange import Exchange


class PendingAnswer:
    """An answer that is still to come.

    :param cancel: cancels the question, on the thread of the client.
    :param check_may_block: raises where waiting here would stop the node.
    :param executor: of the node whose callbacks may await it.
    """

    def __init__(
        self,
        exchange: Exchange,
        cancel: Callable[[], None],
        check_may_block: Callable[[], None],
        executor: Callable[[], Executor | None],
    ) -> None:
        self._exchange = exchange
        self._cancel = cancel
        self._check_may_block = check_may_block
        self._executor = executor

    def done(self) -> bool:
        """Whether there is an answer, or an error."""
        return self._exchange.answered.done()

    def result(self) -> Answer:
        """Wait for the answer; no longer than the timeout of the question.

        :raises AskError: there is none, in the exception that says why.
        :raises RuntimeError: called in a callback of the node, where it would stop the node.
        """
        if not self.done():
            self._check_may_block()
        return self._exchange.answered.result()

    def cancel(self) -> None:
        """Cancel the question; it ends within a token with ``Cancelled``, unless it is done."""
        if not self.done():
            self._cancel()

    def pieces(self) -> Iterator[str]:
        """The answer as it is spoken. Whoever stops reading cancels the question.

        :raises AskError: there is no answer, or no whole one, in the exception that says why.
        """
        self._check_may_block()
        said = ''
        try:
            while (text := self._exchange.next_text()) is not None:
                # The whole text so far: a piece that got lost on its way is in the next one.
                yield text[len(said) :]
                said = text
            answer = self.result()
            if len(answer.text) > len(said):
                yield answer.text[len(said) :]
        finally:
            self.cancel()

    def __await__(self) -> Generator[Any, None, Answer]:
        """Wait in a coroutine: of asyncio where its loop runs here, else a callback of the node.

        A coroutine of asyncio that is cancelled cancels the question.

        :raises AskError: there is no answer, in the exception that says why.
        :raises RuntimeError: nobody here could be woken by the answer.
        """
        answered = self._exchange.answered
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            return (yield from asyncio.wrap_future(answered).__await__())
        if answered.done():
            return answered.result()
        executor = self._executor()
        if executor is None:
            raise RuntimeError(
                'a callback awaits an answer that cannot wake it; make the client with the node '
                'whose callback awaits: VStreamClient(node)'
            )
        # rclpy looks at what awaits when its executor wakes; a callback of the future wakes it.
        woken = Future(executor=executor)
        woken.add_done_callback(lambda _: None)
        answered.add_done_callback(lambda _: woken.set_result(None))
        yield from woken.__await__()
        return answered.result()
