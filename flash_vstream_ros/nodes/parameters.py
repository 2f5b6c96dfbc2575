# SPDX-License-Identifier: Apache-2.0
"""Config dataclass -> declared, described, range-checked ROS parameters."""

from dataclasses import Field, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

Config = TypeVar('Config')


def declare_config(node: Node, config_class: type[Config]) -> Config:
    """Declare a parameter for each field and return the config they make.

    The node is built from them, so that they cannot be changed while it runs.

    :param config_class: a dataclass of :func:`~flash_vstream_ros.core.config.tunable` fields.
    :raises ValueError: a value has the wrong type or lies outside its range, by name.
    """
    values = {item.name: _declare(node, item) for item in fields(config_class)}
    return config_class(**values)


def _declare(node: Node, item: Field) -> Any:
    if not isinstance(item.default, tuple):
        return node.declare_parameter(item.name, item.default, describe(item)).value
    value = node.declare_parameter(item.name, list(item.default), describe(item)).value
    return tuple(value) if isinstance(value, list) else value


def describe(item: Field) -> ParameterDescriptor:
    """Descriptor of one field: meaning, unit, range.

    The type is left to the config's own check, which takes ``sample_rate:=1`` for a number and has
    clearer words for what is wrong.
    """
    about = item.metadata
    descriptor = ParameterDescriptor(
        name=item.name,
        description=about['meaning'] + (f' [{about["unit"]}]' if about['unit'] else ''),
        read_only=True,
        dynamic_typing=True,
    )
    if about['choices']:
        descriptor.additional_constraints = f'one of {", ".join(about["choices"])}'
    low, high = about['minimum'], about['maximum']
    if low is not None and high is not None:
        descriptor.additional_constraints = f'from {low} to {high}'
        if isinstance(item.default, float):
            limits = FloatingPointRange(from_value=float(low), to_value=float(high))
            descriptor.floating_point_range = [limits]
        else:
            limits = IntegerRange(from_value=int(low), to_value=int(high), step=1)
            descriptor.integer_range = [limits]
    return descriptor
