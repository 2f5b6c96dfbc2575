# SPDX-License-Identifier: Apache-2.0
"""A managed node (ROS 2 lifecycle): configured it holds its model, active it serves."""

import gc
import traceback
from collections.abc import Callable
from typing import Any, Protocol

import torch
from rclpy._rclpy_pybind11 import RCLError
from rclpy.action import ActionServer
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from flash_vstream_ros.nodes.parameters import declare_config

# What the user can mend is said in one line; anything else keeps its traceback.
MENDABLE = (ValueError, OSError, ParameterException, RCLError, torch.OutOfMemoryError)
_DESTROYERS = {
    'publishers': 'destroy_publisher',
    'subscriptions': 'destroy_subscription',
    'services': 'destroy_service',
    'clients': 'destroy_client',
    'timers': 'destroy_timer',
}


class Work(Protocol):
    """What a node does while it is configured. Made with the node and its config."""

    def activate(self) -> None:
        """Begin to serve."""

    def deactivate(self) -> None:
        """Stop serving, keep what was learned; returns when nothing runs any more."""

    def stop(self) -> None:
        """End for good: nothing is computed after this. The node destroys the entities."""


class ManagedNode(LifecycleNode):
    """A node whose work exists between configure and cleanup.

    configure loads the model, activate serves, deactivate stops serving and keeps the memory,
    cleanup frees the model. rclpy destroys nothing by itself: all entities that the work has made
    on the node are destroyed at cleanup.

    :param make_work: makes the work of (node, config); what it raises is said, and nothing stays.
    :raises ValueError: a parameter has a value that it cannot have.
    """

    def __init__(
        self, name: str, config_class: type, make_work: Callable[['ManagedNode', Any], Work]
    ) -> None:
        super().__init__(name)
        self.config = declare_config(self, config_class)
        self._make_work = make_work
        self._work: Work | None = None
        self._own = {kind: set(getattr(self, kind)) for kind in _DESTROYERS}
        self._fault: Exception | None = None
        self._is_starting = False

    def start(self) -> None:
        """Configure and activate, as a lifecycle manager would.

        :raises Exception: what prevented it.
        """
        self._is_starting = True
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                raise self._fault
        self._is_starting = False

    def close(self) -> None:
        """End the work before what it answers and publishes with goes away."""
        work, self._work = self._work, None
        if work is not None:
            work.stop()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model."""
        del state
        return self._change('configure', self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Serve."""
        del state
        return self._change('activate', lambda: self._work.activate())

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop serving."""
        del state
        return self._change('deactivate', lambda: self._work.deactivate())

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model."""
        del state
        return self._change('clean up', self._clean_up)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the work, from whatever state."""
        del state
        return self._change('shut down', self._clean_up)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to the beginning after an error of ours; the node can be configured again."""
        del state
        return self._change('recover', self._clean_up)

    def _configure(self) -> None:
        try:
            self._work = self._make_work(self, self.config)
        except BaseException:
            self._release()
            raise

    def _clean_up(self) -> None:
        try:
            self.close()
        finally:
            if self.executor is None:
                self._release()
            else:  # behind the callbacks that now get their last answers
                self.executor.create_task(self._release)

    def _release(self) -> None:
        """Destroy what the work has made on the node, and let its memory go."""
        for action_server in [w for w in self.waitables if isinstance(w, ActionServer)]:
            action_server.destroy()
        for kind, destroyer in _DESTROYERS.items():
            for entity in set(getattr(self, kind)) - self._own[kind]:
                getattr(self, destroyer)(entity)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _change(self, name: str, change: Callable[[], None]) -> TransitionCallbackReturn:
        """Make a transition. rclpy drops an error without a word."""
        try:
            change()
        except MENDABLE as error:
            self._fault = error
            self._say(f'cannot {name}: {explain(error)}')
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # ours; rclpy makes it an ERROR, and the node goes on
            self._fault = error
            self._say(f'cannot {name}: {traceback.format_exc()}')
            raise
        return TransitionCallbackReturn.SUCCESS

    def _say(self, fault: str) -> None:
        if not self._is_starting:  # else whoever starts the node says it
            self.get_logger().error(fault)


def explain(error: Exception) -> str:
    """Say what the user can mend, and how where that is known."""
    if isinstance(error, torch.OutOfMemoryError):
        return (
            'the model does not fit the device; choose another device, or a smaller dtype as '
            f'float16: {error}'
        )
    return str(error)
