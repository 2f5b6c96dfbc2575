# SPDX-License-Identifier: Apache-2.0
"""Both nodes in one process, for a computer with little memory: torch is loaded once.

They still share nothing but the topic between them; each has its own worker. While one of them is
being configured by a lifecycle manager the other's callbacks wait.
"""

import sys

from flash_vstream_ros.nodes import frame_handler, question_handler
from flash_vstream_ros.nodes.running import run_nodes


def main() -> int:
    """Run the nodes; the exit status is for the shell."""
    return run_nodes([frame_handler.make_node, question_handler.make_node])


if __name__ == '__main__':
    sys.exit(main())
