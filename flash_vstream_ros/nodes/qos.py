# SPDX-License-Identifier: Apache-2.0
"""Quality of service that both sides of a topic must agree on."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

# The memory: whoever comes late gets the newest at once.
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)

# Services keep 10 requests by default; one more would vanish before anyone could answer BUSY.
REQUESTS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1000)
