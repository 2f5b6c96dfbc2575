# SPDX-License-Identifier: Apache-2.0
"""The tool of LangChain against real nodes: answers and errors as text that an agent can use."""

import asyncio

import pytest
from flash_vstream_ros.msg import Answer

from flash_vstream_ros.nodes import ask_errors
from flash_vstream_ros.nodes.ask_errors import AskError
from flash_vstream_ros.nodes.client import VStreamClient
from flash_vstream_ros.nodes.times import ns_to_time

pytest.importorskip('langchain_core')

from flash_vstream_ros.nodes.langchain_tool import (
    describe_answer,
    describe_error,
    make_ask_tool,
)


@pytest.fixture
def tool(client):
    return make_ask_tool(client)


def call(tool, **arguments):
    """Call it as an agent does: the content and the status of the message that comes back."""
    request = {'type': 'tool_call', 'id': '1', 'name': tool.name, 'args': arguments}
    messages = [tool.invoke(request), asyncio.run(tool.ainvoke(request))]
    # Frames come one by one here: the memory soon is stale.
    contents = [message.content.split('\n[STALE')[0] for message in messages]
    assert contents[0] == contents[1], 'both ways say the same'
    return contents[0], messages[0].status


def seen(robot, count):
    """Show frames, and wait until the question handler has them all."""
    robot.see(count)
    assert robot.ask('What?', max_new_tokens=1).frames_seen == count


def test_an_agent_is_told_what_it_may_ask(tool):
    properties = tool.tool_call_schema.model_json_schema()['properties']
    stretch = {'from_stamp_s', 'to_stamp_s'}
    assert set(properties) == {'question', 'choices', 'camera'} | stretch
    assert all(field['description'] for field in properties.values())
    assert tool.tool_call_schema.model_json_schema()['required'] == ['question']
    assert 'camera of the robot' in tool.description


def test_an_answer_comes_with_its_stamps(robot, tool):
    seen(robot, 3)
    content, status = call(tool, question='What is it?')
    assert status == 'success'
    answer = robot.ask('What is it?')
    details = [f'{stamp.sec:.1f} s' for stamp in answer.key_stamps]
    assert len(details) == 3
    assert content == (
        f'{answer.text}\n[from 3 frames of camera {answer.camera!r}, stamped 1.0 s to 3.0 s; held '
        f'in detail: {", ".join(details)}]'
    )


def test_each_choice_has_its_probability(robot, tool):
    seen(robot, 1)
    content, _ = call(tool, question='Is it day?', choices=['yes', 'no'])
    answer = robot.ask('Is it day?', choices=['yes', 'no'])
    shares = [f'{share:.1%}' for share in answer.choice_probabilities]
    assert content.splitlines()[:3] == [answer.text, f'{shares[0]} yes', f'{shares[1]} no']


def test_an_agent_asks_about_a_stretch_of_time(robot, tool):
    seen(robot, 3)
    content, status = call(tool, question='What is it?', from_stamp_s=2.5)
    assert status == 'success'
    answer = robot.ask('What is it?', from_stamp=ns_to_time(2_500_000_000))
    assert [stamp.sec for stamp in answer.key_stamps] == [3]
    assert content.endswith('held in detail: 3.0 s]')
    content, status = call(tool, question='What is it?', from_stamp_s=2.0, to_stamp_s=1.0)
    assert status == 'error'
    assert 'to_stamp' in content


def test_no_answer_is_text_with_what_to_do(robot, tool):
    content, status = call(tool, question='What is it?')
    assert status == 'error'
    assert content.startswith('No answer: MEMORY_EMPTY: no frame memorised yet')
    assert 'again when its camera runs.' in content
    seen(robot, 1)
    content, status = call(tool, question='What?', camera='left')
    assert status == 'error'
    assert 'BAD_REQUEST' in content
    assert "'left'" in content
    assert 'arguments changed' in content


def test_arguments_that_fit_nothing_are_text_too(tool):
    content, status = call(tool, question='What?', choices='yes')
    assert status == 'error'
    assert content.startswith('No answer: choices: ')
    content, status = call(tool, question='What\0?')
    assert status == 'error'
    assert 'question: expected text' in content
    assert 'arguments changed' in content


def test_nobody_to_ask_is_text_too(namespace):
    with VStreamClient(namespace=namespace, find_timeout_s=0.1) as client:
        content = make_ask_tool(client).invoke({'question': 'What?'})
    assert f'nobody answers {namespace}/ask' in content
    assert 'Do not ask again' in content


def test_what_was_said_before_the_end_is_kept(stand_in, namespace):
    answer = Answer(status=Answer.TIMEOUT, message='1 s passed', text='A red')
    stand_in.answer.set_result(answer)
    with VStreamClient(namespace=namespace) as client:
        content, status = call(make_ask_tool(client), question='What?')
    assert status == 'error'
    assert 'TIMEOUT: 1 s passed' in content
    assert content.endswith('Until then was said: A red')


def test_a_stale_memory_is_said():
    answer = Answer(text='A cup', frames_seen=1, camera='front', stale=True, memory_age=7.2)
    assert describe_answer(answer, []).splitlines() == [
        'A cup',
        "[from 1 frames of camera 'front', stamped 0.0 s to 0.0 s; held in detail: none]",
        '[STALE: the memory has had no new frame for 7 s]',
    ]


def test_every_error_has_its_advice():
    kinds = [
        kind
        for kind in vars(ask_errors).values()
        if isinstance(kind, type) and issubclass(kind, AskError)
    ]
    assert len(kinds) == 10
    for kind in kinds:
        assert describe_error(kind('why')).startswith('No answer: why. ')
