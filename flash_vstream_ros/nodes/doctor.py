# SPDX-License-Identifier: Apache-2.0
"""Looks at a running robot and says what is wrong, with the command that mends it."""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

import rclpy
from rclpy.exceptions import InvalidNamespaceException, InvalidTopicNameException
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.validate_full_topic_name import validate_full_topic_name
from rclpy.validate_namespace import validate_namespace

from flash_vstream_ros.nodes.doctor_checks import diagnose
from flash_vstream_ros.nodes.doctor_facts import ERROR, OK, WARN, Finding
from flash_vstream_ros.nodes.doctor_gathering import Gathering, Options
from flash_vstream_ros.nodes.running import initialised


def run_doctor(arguments: argparse.Namespace) -> int:
    """Look for some seconds, and print what was found.

    :param arguments: namespace, image (topic or None), model (checkpoint or None), seconds,
        timeout, json.
    :returns: exit status: 0 where all is well but for warnings, 1 where there is an error, 2 for
        a name that ROS does not allow.
    """
    options = Options(arguments.image, arguments.model, arguments.seconds, arguments.timeout)
    namespace = f'/{arguments.namespace.strip("/")}'
    try:
        validate_namespace(namespace)
        if options.image is not None:
            validate_full_topic_name(f'/{options.image.lstrip("/")}')
        findings = _examine(namespace, options)
    except (InvalidNamespaceException, InvalidTopicNameException) as error:
        sys.stderr.write(f'flash_vstream doctor: {error}\n')
        return 2
    sys.stdout.write((as_json if arguments.json else as_text)(findings) + '\n')
    return 1 if any(finding.level is ERROR for finding in findings) else 0


def _examine(namespace: str, options: Options) -> list[Finding]:
    # rclpy's own handlers would shut the context down in the middle of the check.
    with initialised(SignalHandlerOptions.NO):
        node = rclpy.create_node(f'_doctor_{os.getpid()}', namespace=namespace)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        try:
            return diagnose(Gathering(node, executor, options).facts())
        finally:
            executor.shutdown()
            node.destroy_node()


def as_text(findings: Sequence[Finding]) -> str:
    """Findings for a person: one line each, the remedy below, the sum at the end."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f'{finding.level:5}  {finding.check:{width}}  {finding.text}')
        if finding.remedy:
            lines.append(f'{"":{width + 7}}  -> {finding.remedy}')
    counts = Counter(finding.level for finding in findings)
    lines.append(f'errors: {counts[ERROR]}, warnings: {counts[WARN]}, OK: {counts[OK]}')
    return '\n'.join(lines)


def as_json(findings: Sequence[Finding]) -> str:
    """Findings for a machine: the worst level, then each finding with all its fields."""
    levels = {finding.level for finding in findings}
    worst = next((level for level in (ERROR, WARN) if level in levels), OK)
    return json.dumps({'level': worst, 'findings': [asdict(f) for f in findings]}, indent=1)
