# SPDX-License-Identifier: Apache-2.0
"""A frame handler that stops for ever at its third frame, in the phase that its argument names.

It prints HELD there, and never lets go: whoever started it has to kill it.
"""

import sys
import threading

from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.star_memory import StarMemory
from flash_vstream_ros.core.temporal_memory import TemporalMemory
from flash_vstream_ros.nodes import frame_handler
from flash_vstream_ros.nodes.memory_publisher import MemoryPublisher

# Where it stops, and how often it comes by before: publishing has had the empty memory too.
PHASES = {
    'encoding': (FlashVStream, 'encode', 2),
    'writing': (TemporalMemory, '_renew_costs', 2),
    'reading': (StarMemory, 'snapshot', 4),
    'publishing': (MemoryPublisher, 'publish', 3),
}


def hold(owner: type, name: str, after: int) -> None:
    """Let a method stop for ever once it was called so often."""
    original, calls = getattr(owner, name), []

    def method(*arguments: object) -> object:
        calls.append(None)
        if len(calls) > after:
            sys.stdout.write('HELD\n')
            sys.stdout.flush()
            threading.Event().wait()
        return original(*arguments)

    setattr(owner, name, method)


if __name__ == '__main__':
    hold(*PHASES[sys.argv.pop(1)])
    sys.exit(frame_handler.main())
