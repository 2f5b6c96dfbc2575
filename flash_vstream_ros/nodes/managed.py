# SPDX-License-Identifier: Apache-2.0
"""A managed node (ROS 2 lifecycle): configured it holds its model, active it serves."""

import gc
import traceback
from collections.abc import Callable
from typing import Any, Protocol

import torch
from rclpy._rclpy_pybind11 import RCLError
from rclpy.action import ActionServer
from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.service import Service
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from flash_vstream_ros.nodes.parameters import declare_config

# What the user can mend is said in one line; anything else keeps its traceback.
MENDABLE = (ValueError, OSError, ParameterException, RCLError, torch.OutOfMemoryError)
Entity = Publisher | Subscription | Service | Client | Timer | ActionServer
# For the requests that had arrived when the work ended: each gets its answer. In turns, for the
# executor may be held up by one thing, and then has to come to all others as well.
FAREWELL_PERIOD_S, FAREWELL_TURNS = 0.1, 10


def _destroy_action_server(_: Node, waitable: object) -> None:
    if isinstance(waitable, ActionServer):  # others, events of topics, go with what they are of
        waitable.destroy()


_DESTROYERS = {
    'publishers': Node.destroy_publisher,
    'subscriptions': Node.destroy_subscription,
    'services': Node.destroy_service,
    'clients': Node.destroy_client,
    'timers': Node.destroy_timer,
    'waitables': _destroy_action_server,
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
    on the node are destroyed at cleanup, its servers a moment later: of a request that lies in the
    middleware when its server goes, whoever sent it would never hear.

    :param make_work: makes the work of (node, config); what it raises is said, and nothing stays.
    :raises ValueError: a parameter has a value that it cannot have.
    """

    def __init__(
        self, name: str, config_class: type, make_work: Callable[['ManagedNode', Any], Work]
    ) -> None:
        super().__init__(name)
        self._make_work = make_work
        self._work: Work | None = None
        self._own: set[Entity] = set()
        self._leaving: set[Entity] = set()  # servers of work that has ended
        self._farewell: Timer | None = None
        self._turns_left = 0
        self._fault: Exception | None = None
        self._is_starting = False
        try:
            self.config = declare_config(self, config_class)
        except BaseException:
            self.destroy_node()
            raise

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

    def destroy_node(self) -> None:
        """Destroy the node, and be off the network: rclpy leaves some of it to the collector."""
        self.close()
        for waitable in tuple(self.waitables):
            _destroy_action_server(self, waitable)
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _configure(self) -> None:
        self._end_farewell()  # two servers of one name would both answer
        self._own = self._entities()
        try:
            self._work = self._make_work(self, self.config)
        except BaseException:
            self._release(self._entities() - self._own)
            raise

    def _clean_up(self) -> None:
        made = self._entities() - self._own  # and not what the next work makes meanwhile
        try:
            self.close()
        finally:
            if self.executor is None:
                self._release(made)
            else:
                self._begin_farewell(made)

    def _begin_farewell(self, made: set[Entity]) -> None:
        """Destroy what the ended work has made, its servers once they have answered all."""
        self._end_farewell()
        self._leaving = {entity for entity in made if isinstance(entity, Service | ActionServer)}
        # Behind the callbacks that now get their last answers.
        self.executor.create_task(self._release, made - self._leaving)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a simulated one may stand still
        self._turns_left = FAREWELL_TURNS
        self._farewell = self.create_timer(FAREWELL_PERIOD_S, self._on_farewell, clock=steady)

    def _on_farewell(self) -> None:
        self._turns_left -= 1
        if not self._turns_left:
            self._end_farewell()

    def _end_farewell(self) -> None:
        if self._farewell is not None:
            self.destroy_timer(self._farewell)
            self._farewell = None
            self._release(self._leaving)

    def _entities(self) -> set[Entity]:
        return {entity for kind in _DESTROYERS for entity in getattr(self, kind)}

    def _release(self, made: set[Entity]) -> None:
        """Destroy what the work has made on the node, and let its memory go."""
        while made:
            self._destroy(made.pop())
        _free()

    def _destroy(self, entity: Entity) -> None:
        for kind, destroy in _DESTROYERS.items():
            if entity in getattr(self, kind):
                destroy(self, entity)

    def _change(self, name: str, change: Callable[[], None]) -> TransitionCallbackReturn:
        """Make a transition. rclpy drops an error without a word."""
        try:
            change()
        except MENDABLE as error:
            self._say(f'cannot {name}: {explain(error)}')
            self._keep(error)
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # ours; rclpy makes it an ERROR, and the node goes on
            self._say(f'cannot {name}: {traceback.format_exc()}')
            self._keep(error)
            raise
        return TransitionCallbackReturn.SUCCESS

    def _keep(self, error: Exception) -> None:
        """Keep an error, without the half-made work that its frames hold: a model, perhaps."""
        self._fault = error
        forget_frames(error)
        _free()

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


def forget_frames(error: BaseException | None) -> None:
    """Let go what the frames of an error hold, and those of its causes; the traceback stays."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _free() -> None:
    """Collect what nobody holds any more, and give the device's memory back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
