# SPDX-License-Identifier: Apache-2.0
"""Parameters: one for each field of a config, described, checked, with names in every refusal."""

import math
from dataclasses import fields

import pytest
from rcl_interfaces.msg import ParameterType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from robots import PROGRAMS, SpunNode, result_of

from flash_vstream_ros.core.config import FrameHandlerConfig, QuestionHandlerConfig
from flash_vstream_ros.nodes.parameters import declare_config, describe

CONFIGS = dict(zip(PROGRAMS, (FrameHandlerConfig, QuestionHandlerConfig), strict=True))
TYPES = {
    str: ParameterType.PARAMETER_STRING,
    float: ParameterType.PARAMETER_DOUBLE,
    int: ParameterType.PARAMETER_INTEGER,
    bool: ParameterType.PARAMETER_BOOL,
    tuple: ParameterType.PARAMETER_STRING_ARRAY,
}
ALL = [(config, item) for config in CONFIGS.values() for item in fields(config)]


def declare(spun: SpunNode, config, **overrides):
    """Declare the parameters of a config on a node that was started with these values."""
    parameters = [Parameter(name, value=value) for name, value in overrides.items()]
    node = Node(
        'declaring',
        context=spun.context,
        namespace=spun.node.get_namespace(),
        parameter_overrides=parameters,
        use_global_arguments=False,
    )
    try:
        return declare_config(node, config)
    finally:
        node.destroy_node()


@pytest.mark.parametrize('config', CONFIGS.values())
def test_without_values_a_node_has_the_defaults(spun, config):
    assert declare(spun, config) == config()


def test_values_given_at_the_start_are_taken(spun):
    config = declare(spun, FrameHandlerConfig, model='here', sample_rate=0.25)
    assert config == FrameHandlerConfig(model='here', sample_rate=0.25)


def test_a_whole_number_is_a_number(spun):
    """`sample_rate:=2` on a command line is an integer to ROS."""
    assert declare(spun, FrameHandlerConfig, sample_rate=2).sample_rate == 2.0


@pytest.mark.parametrize(
    ('config', 'name', 'value'),
    [
        (FrameHandlerConfig, 'sample_rate', -1.0),
        (FrameHandlerConfig, 'sample_rate', 1001),
        (FrameHandlerConfig, 'sample_rate', math.nan),
        (FrameHandlerConfig, 'sample_rate', 'fast'),
        (FrameHandlerConfig, 'sample_rate', True),
        (FrameHandlerConfig, 'sample_rate', [1.0, 2.0]),
        (FrameHandlerConfig, 'image_transport', 'theora'),
        (FrameHandlerConfig, 'image_reliability', 'best effort'),
        (FrameHandlerConfig, 'model', 7),
        (FrameHandlerConfig, 'publish_rate', 0.0),
        (QuestionHandlerConfig, 'queue_size', 0),
        (QuestionHandlerConfig, 'queue_size', 2.5),
        (QuestionHandlerConfig, 'max_new_tokens', 5000),
        (QuestionHandlerConfig, 'temperature', -0.1),
        (QuestionHandlerConfig, 'dtype', 'float8'),
        (QuestionHandlerConfig, 'default_timeout', math.inf),
        (QuestionHandlerConfig, 'seed', 2**31),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name_and_value(spun, config, name, value):
    with pytest.raises(Exception, match=name) as refusal:
        declare(spun, config, **{name: value})
    assert str(value).strip('[]') in str(refusal.value)


@pytest.mark.parametrize(('config', 'item'), ALL)
def test_the_descriptor_of_a_field_says_all_there_is_to_know(config, item):
    descriptor, about = describe(item), item.metadata
    assert about['meaning'] in descriptor.description
    assert about['unit'] in descriptor.description
    assert descriptor.read_only
    for choice in about['choices']:
        assert choice in descriptor.additional_constraints
    limits = [*descriptor.floating_point_range, *descriptor.integer_range]
    if about['minimum'] is None:
        assert not limits
    else:
        assert len(limits) == 1
        assert (limits[0].from_value, limits[0].to_value) == (about['minimum'], about['maximum'])


@pytest.mark.parametrize('program', PROGRAMS)
def test_a_running_node_tells_its_parameters_and_keeps_them(robot, program):
    client = AsyncParameterClient(robot.station.node, program)
    assert client.wait_for_services(30.0)
    items = fields(CONFIGS[program])
    names = [item.name for item in items]
    listed = result_of(client.list_parameters()).result.names
    assert set(names) <= set(listed)

    values = result_of(client.get_parameters(names)).values
    for item, value in zip(items, values, strict=True):
        is_whole_rate = item.name == 'sample_rate' and program == 'frame_handler'
        expected = int if is_whole_rate else type(item.default)
        assert value.type == TYPES[expected], item.name
    descriptors = result_of(client.describe_parameters(names)).descriptors
    for item, descriptor in zip(items, descriptors, strict=True):
        assert descriptor.description == describe(item).description
        assert descriptor.floating_point_range == describe(item).floating_point_range
        assert descriptor.integer_range == describe(item).integer_range

    change = Parameter('device', value='cuda:0')
    outcome = result_of(client.set_parameters([change])).results[0]
    assert not outcome.successful
    assert 'read-only' in outcome.reason
