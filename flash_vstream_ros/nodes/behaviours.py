# SPDX-License-Identifier: Apache-2.0
"""A behaviour of py_trees that asks the memory; in trees of py_trees_ros as well."""

import contextlib
from collections.abc import Sequence
from typing import Any

try:
    from py_trees.behaviour import Behaviour
    from py_trees.common import Access, Status
except ImportError as error:
    raise ImportError(f'{__name__} needs py_trees: pip install py_trees ({error})') from error

from flash_vstream_ros.msg import Answer
from flash_vstream_ros.nodes.ask_errors import AskError
from flash_vstream_ros.nodes.client import TIMEOUT_S, VStreamClient
from flash_vstream_ros.nodes.pending_answer import PendingAnswer


class AskMemory(Behaviour):
    """Asks once each time it is ticked anew: RUNNING until there is an answer or an error.

    SUCCESS: there is an answer and, where a choice is expected, its probability reaches the
    threshold. FAILURE: all else; ``feedback_message`` says why, ``error`` is the exception where
    there is no answer. A tree that turns to something else cancels the question.

    :param question: in plain language.
    :param choices: where given, the answer is one of them.
    :param expected: the choice that is a success; '': every answer is.
    :param threshold: probability that the expected choice needs, above 0 and at most 1.
    :param key: of the blackboard, for the ``Answer``; unset while there is none.
    :param client: who asks; None: one of its own, made by ``setup`` beside the node that
        py_trees_ros hands over, or without a node.
    :param namespace: of the question handler, for a client of its own.
    :param options: of ``VStreamClient.ask_async``: camera, min_stamp_ns, timeout_s,
        max_new_tokens.
    :raises ValueError: the expected choice is none of the choices, or the threshold no
        probability.
    """

    def __init__(
        self,
        name: str,
        question: str,
        choices: Sequence[str] = (),
        *,
        expected: str = '',
        threshold: float = 0.5,
        key: str = 'answer',
        client: VStreamClient | None = None,
        namespace: str = 'flash_vstream',
        **options: Any,
    ) -> None:
        super().__init__(name)
        if isinstance(choices, str):
            raise ValueError(f'choices: expected several texts, got the text {choices!r}')
        if expected and expected not in choices:
            raise ValueError(f'expected: expected one of {list(choices)}, got {expected!r}')
        if not 0.0 < threshold <= 1.0:
            raise ValueError(f'threshold: expected above 0 and at most 1, got {threshold}')
        self._asked = {'timeout_s': TIMEOUT_S} | options
        self._asked |= {'question': question, 'choices': tuple(choices)}
        self._expected = expected
        self._threshold = threshold
        self._key = key
        self._client = client
        self._is_own_client = client is None
        self._namespace = namespace
        self._pending: PendingAnswer | None = None
        self.error: AskError | None = None
        self._blackboard = self.attach_blackboard_client(name=name)
        self._blackboard.register_key(key=key, access=Access.WRITE)

    def setup(self, **kwargs: Any) -> None:
        """Make the client where none was given.

        :param kwargs: ``node``, from py_trees_ros.
        """
        if self._client is None:
            self._client = VStreamClient(kwargs.get('node'), self._namespace)

    def initialise(self) -> None:
        """Ask; what was answered before is taken off the blackboard.

        :raises RuntimeError: the tree was not set up.
        """
        if self._client is None:
            raise RuntimeError(f'behaviour {self.name!r} has no client; call setup() of the tree')
        self._blackboard.unset(self._key)
        self.error = None
        self.feedback_message = 'asked'
        self._pending = self._client.ask_async(**self._asked)

    def update(self) -> Status:
        """Look whether there is an answer."""
        if not self._pending.done():
            return Status.RUNNING
        try:
            answer = self._pending.result()
        except AskError as error:
            self.error = error
            self.feedback_message = str(error)
            return Status.FAILURE
        self._blackboard.set(self._key, answer)
        return self._judge(answer)

    def _judge(self, answer: Answer) -> Status:
        self.feedback_message = answer.text
        if not self._expected:
            return Status.SUCCESS
        probability = answer.choice_probabilities[self._asked['choices'].index(self._expected)]
        self.feedback_message = f'{self._expected}: {probability:.3f} of {self._threshold:g}'
        return Status.SUCCESS if probability >= self._threshold else Status.FAILURE

    def terminate(self, new_status: Status) -> None:  # noqa: ARG002 - part of the interface
        """Cancel a question that the tree no longer wants answered."""
        if self._pending is not None:
            self._pending.cancel()

    def shutdown(self) -> None:
        """End a client of its own."""
        if self._is_own_client and self._client is not None:
            self._client.close()
            self._client = None
        # py_trees keeps it for ever; what is on the blackboard stays.
        with contextlib.suppress(KeyError):  # done already
            self._blackboard.unregister(clear=False)
