# SPDX-License-Identifier: Apache-2.0
"""Results of actions are let go in time, also where the clock of a simulation stands still."""

from action_msgs.msg import GoalStatus
from flash_vstream_ros.action import Ask
from rclpy.action import ActionClient, CancelResponse
from rclpy.clock import ClockType
from rclpy.parameter import Parameter
from rclpy.time import Time
from robots import result_of, wait_until

from flash_vstream_ros.nodes.action_servers import make_action_server


async def _answer(goal):
    goal.succeed()
    return Ask.Result()


def test_a_result_is_let_go_where_the_clock_stands_still(spun):
    node = spun.node
    node.set_parameters([Parameter('use_sim_time', value=True)])
    stands = Time(seconds=5, clock_type=ClockType.ROS_TIME)
    spun.call(node.get_clock().set_ros_time_override, stands)  # as a /clock that came once
    server = spun.call(
        lambda: make_action_server(node, Ask, 'ask', _answer, lambda _: CancelResponse.ACCEPT, 1)
    )
    client = spun.call(ActionClient, node, Ask, 'ask')
    wait_until(client.server_is_ready, 'the action')
    goal = result_of(client.send_goal_async(Ask.Goal()))
    assert result_of(goal.get_result_async()).status == GoalStatus.STATUS_SUCCEEDED

    def is_let_go():
        return result_of(goal.get_result_async()).status == GoalStatus.STATUS_UNKNOWN

    wait_until(is_let_go, 'the result is let go')
    assert node.get_clock().now() == stands
    for waitable in (client, server):
        spun.call(waitable.destroy)
