# SPDX-License-Identifier: Apache-2.0
"""Ways to ask, for the tests of clients."""

from robots import wait_until

from flash_vstream_ros.nodes.ask_errors import AskError

LONG = 3000  # tokens: seconds of work, should nobody end it
# Seconds of work before the first piece of an answer, as much as a request may hold
MANY_CHOICES = [f'{n} ' + 'no ' * 320 for n in range(100)]


def caught(function):
    """The error of a callback; raised, it would end its executor."""
    try:
        return function()
    except (AskError, RuntimeError) as error:
        return error


def wait_until_spoken(robot, before=0):
    wait_until(lambda: len(robot.said) > before, 'the answer has begun')


def ways(client):
    """Ask in both ways, and wait."""
    return {
        'service': client.ask,
        'action': lambda *words, **options: client.ask_async(*words, **options).result(),
    }
