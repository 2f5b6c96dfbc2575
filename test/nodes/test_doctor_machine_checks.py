# SPDX-License-Identifier: Apache-2.0
"""What the doctor finds about memory, answers, clock and machine. No ROS."""

from dataclasses import replace

import pytest
from doctor_samples import (
    ANSWERER,
    HANDLER,
    HEALTHY,
    MEMORY,
    PICTURES,
    STORED,
    S,
    found,
    says,
    with_machine,
    with_memory,
    with_node,
)

from flash_vstream_ros.nodes.doctor_checks import diagnose
from flash_vstream_ros.nodes.doctor_facts import (
    ERROR,
    OK,
    SKIP,
    WARN,
    AskFacts,
    ClockFacts,
    Device,
    Facts,
    ModelFacts,
    Process,
)
from flash_vstream_ros.nodes.environment import MALLOC_SETTINGS

WRITER = STORED.publishers[0]
NEWEST_NS = max(PICTURES.stamps_ns)


def test_a_memory_that_nobody_publishes_comes_with_the_parameter():
    says(with_memory(publishers=(), received=0), 'memory', ERROR, MEMORY, 'memories:=')


def test_a_memory_of_two_writers_is_named_with_both():
    writers = (WRITER, replace(WRITER, node='/other/frame_handler'))
    says(
        with_memory(publishers=writers), 'memory', ERROR, HANDLER, '/other/frame_handler', 'remap'
    )


def test_a_memory_that_its_reader_never_gets_is_named_with_the_policy():
    writer = replace(WRITER, mismatches={ANSWERER: 'Volatile publisher and ...'})
    says(with_memory(publishers=(writer,)), 'memory', ERROR, 'Volatile', 'transient local')


def test_messages_of_different_versions_are_told_apart():
    says(with_memory(type_hashes=frozenset('ab')), 'memory', ERROR, 'different', 'same version')


def test_a_memory_that_does_not_come_is_said():
    says(with_memory(received=0), 'memory', ERROR, 'no memory came in 4 s')


def test_a_memory_that_does_not_grow_with_its_camera_is_an_error():
    still = {'frames_first': 10, 'frames_last': 10, 'newest_stamp_ns': NEWEST_NS - 20 * S}
    says(with_memory(**still), 'memory', ERROR, HANDLER, PICTURES.topic)
    says(with_memory(frames_first=0, frames_last=0, newest_stamp_ns=0), 'memory', ERROR)


def test_a_memory_that_grows_but_is_late_is_a_warning():
    says(with_memory(newest_stamp_ns=NEWEST_NS - 20 * S), 'memory', WARN, '20.0 s', 'sample_rate')


def test_a_memory_that_samples_rarely_may_be_as_late_as_that():
    rare = with_memory(frames_first=10, frames_last=10, newest_stamp_ns=NEWEST_NS - 20 * S)
    parameters = {**HEALTHY.nodes[0].parameters, 'sample_rate': 0.1}
    says(with_node(0, rare, parameters=parameters), 'memory', OK, '20.0 s behind')


@pytest.mark.parametrize(
    ('status', 'level', 'words'),
    [
        (None, ERROR, 'no response'),
        ('MEMORY_EMPTY', ERROR, 'see the images'),
        ('INACTIVE', ERROR, 'state of the question handler'),
        ('BUSY', WARN, 'ask less'),
        ('TIMEOUT', WARN, '--timeout'),
        ('MODEL_ERROR', ERROR, 'what was said'),
        ('A_NEW_ONE', ERROR, 'what was said'),
    ],
)
def test_a_question_without_an_answer_comes_with_where_to_look(status, level, words):
    facts = replace(HEALTHY, asked=(AskFacts(MEMORY, status, 'what was said', 10.0),))
    says(facts, 'ask', level, words)


def test_a_question_handler_that_does_not_serve_is_not_one_that_is_missing():
    facts = replace(HEALTHY, is_asked=False, asked=())
    says(facts, 'ask', ERROR, '/flash_vstream/ask', ANSWERER)
    says(with_node(1, facts, count=0), 'ask', SKIP)


def test_a_memory_of_another_encoder_comes_with_both_models_and_the_command():
    refusal = 'memory refused: expected a memory of encoder b, got one of a'
    facts = replace(HEALTHY, asked=(AskFacts(MEMORY, 'MODEL_ERROR', refusal),))
    facts = with_node(1, facts, parameters={'model': '/models/other'})
    says(facts, 'encoder', ERROR, '/models/other', 'got one of a', 'model:=/models/m')


def simulated(clock: ClockFacts, *names: str) -> Facts:
    """The nodes of these names go by /clock."""
    facts = replace(HEALTHY, clock=clock)
    for index, node in enumerate(facts.nodes):
        parameters = {**node.parameters, 'use_sim_time': node.name in names}
        facts = with_node(index, facts, parameters=parameters)
    return facts


def test_simulated_time_without_a_clock_is_an_error():
    says(simulated(ClockFacts(), HANDLER, ANSWERER), 'clock', ERROR, 'nothing publishes /clock')


def test_a_clock_that_stands_still_is_a_warning():
    clock = ClockFacts(publishers=1, received=40)
    says(simulated(clock, HANDLER, ANSWERER), 'clock', WARN, 'stands still', '40 messages')


def test_a_clock_that_goes_on_is_well():
    clock = ClockFacts(publishers=1, received=40, advanced_s=3.9)
    says(simulated(clock, HANDLER, ANSWERER), 'clock', OK, '3.9 s')


def test_nodes_of_different_time_come_with_the_parameter():
    clock = ClockFacts(publishers=1, received=40, advanced_s=3.9)
    facts = simulated(clock, HANDLER)
    says(facts, 'clock', WARN, f'ros2 param set {ANSWERER} use_sim_time true')


def test_a_clock_that_nobody_goes_by_is_a_warning():
    says(simulated(ClockFacts(publishers=1)), 'clock', WARN, 'use_sim_time:=true')


def test_a_model_that_is_not_whole_is_named_where_its_files_must_be():
    model = ModelFacts('/models/m', (HANDLER,), is_here=True, fault='config.json is missing')
    says(replace(HEALTHY, models=(model,)), 'model', ERROR, HANDLER, 'config.json is missing')
    elsewhere = replace(model, is_here=False)
    says(replace(HEALTHY, models=(elsewhere,)), 'model', SKIP, 'elsewhere')


def test_a_device_that_is_not_there_is_named():
    facts = with_node(1, parameters={'device': 'cuda:0'})
    says(facts, 'device', ERROR, ANSWERER, 'cuda:0', 'device:=cpu')
    elsewhere = with_node(1, facts, processes=())
    says(elsewhere, 'device', OK)


def test_a_gpu_that_torch_cannot_use_is_named():
    gpu = Device('Orin', 2**34, 2**35)
    says(with_machine(devices=(gpu,)), 'device', WARN, 'torch 2.13.0 does not use Orin')
    says(with_machine(devices=(gpu,), has_cuda=True), 'device', OK, '17.2 of 34.4 GB free')
    full = Device('Orin', 2**28, 2**35)
    says(with_machine(devices=(full,), has_cuda=True), 'device', WARN, 'float16')
    says(with_machine(has_cuda=True), 'device', SKIP, 'nvidia-smi')


def test_little_shared_memory_comes_with_how_to_have_more():
    says(with_machine(shm_total=2**26, shm_free=2**25), 'shared memory', WARN, '--shm-size=1g')
    says(with_machine(shm_total=None), 'shared memory', SKIP)


def test_participants_that_do_not_find_each_other_are_counted():
    """Without multicast rmw_fastrtps looks at the ports of the first 32 only."""

    def with_ids(*ids: int) -> Facts:
        return with_machine(discovery_range='LOCALHOST', participants=frozenset(ids))

    says(with_ids(*range(32)), 'participants', OK, '32 in domain 0')
    says(with_ids(0, 1, 32), 'participants', WARN, '1 came too late')
    says(with_ids(0, 32, 33), 'participants', ERROR, '2 came too late', 'SUBNET')
    assert not any(finding.check == 'participants' for finding in diagnose(HEALTHY))
    another = with_machine(discovery_range='LOCALHOST', middleware='rmw_zenoh_cpp')
    assert not any(finding.check == 'participants' for finding in diagnose(another))


def test_a_frame_handler_without_the_malloc_settings_comes_with_them():
    kept = dict(list(MALLOC_SETTINGS.items())[1:])
    missing = next(iter(MALLOC_SETTINGS))
    facts = with_node(processes=(Process(1, kept, None),))
    says(facts, 'malloc', WARN, f'export {missing}={MALLOC_SETTINGS[missing]}')
    assert not any(name in found(facts, 'malloc').remedy for name in kept)
    says(with_node(processes=(Process(1, None, None),)), 'malloc', SKIP)
    says(with_node(processes=()), 'malloc', SKIP)


def test_a_full_disk_is_named():
    says(with_machine(disks={'/logs': 2**28}), 'disk', WARN, '/logs', '0.3 GB')
    says(with_machine(disks={'/logs': 2**20}), 'disk', ERROR, '/logs')


def test_a_folder_of_memories_that_cannot_be_written_is_named():
    facts = with_machine(unwritable={'/proc/nowhere': 'No such file'}, disks={})
    says(facts, 'disk', ERROR, '/proc/nowhere', 'No such file', 'memory_folder:=')


def test_what_a_report_needs_is_always_named():
    said = '\n'.join(finding.text for finding in diagnose(HEALTHY))
    for words in ('ROS_DOMAIN_ID=0', 'rmw_fastrtps_cpp', 'SUBNET', 'torch 2.13.0'):
        assert words in said
