# SPDX-License-Identifier: Apache-2.0
"""Results that a kill or a full disk leaves whole."""

import json
import resource

import pytest

from flash_vstream_ros.evaluation.json_lines import JsonLines


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_records_are_on_disk_as_soon_as_they_are_written(tmp_path):
    path = tmp_path / 'answers.jsonl'
    with JsonLines(path) as results:
        for number in range(3):
            results.append({'id': number, 'answer': 'Zürich – “ok”\n'})
            assert lines(path) == results.records
            assert len(results.records) == number + 1


def test_a_file_is_gone_on_with(tmp_path):
    path = tmp_path / 'answers.jsonl'
    with JsonLines(path) as results:
        results.append({'id': 0})
    with JsonLines(path) as results:
        assert results.records == [{'id': 0}]
        results.append({'id': 1})
    assert lines(path) == [{'id': 0}, {'id': 1}]


@pytest.mark.parametrize('kept', range(1, 12))
def test_a_torn_last_line_is_taken_away(tmp_path, kept):
    path = tmp_path / 'answers.jsonl'
    path.write_text('{"id": 0}\n' + '{"id": "ü1"}\n'[:kept])
    with JsonLines(path) as results:
        assert results.records == [{'id': 0}]
        results.append({'id': 2})
    assert lines(path) == [{'id': 0}, {'id': 2}]


@pytest.mark.parametrize('bad', ['{"id": ', '[1]', '\x00\x00', ''])
def test_a_damaged_line_in_the_middle_is_named(tmp_path, bad):
    path = tmp_path / 'answers.jsonl'
    path.write_text('{"id": 0}\n' + bad + '\n{"id": 2}\n')
    with pytest.raises(ValueError, match=r'answers.jsonl, line 2: '):
        JsonLines(path)
    assert path.read_text().endswith('{"id": 2}\n')


def test_a_full_disk_loses_nothing_that_was_written(tmp_path):
    """A limit on the size of files stands in for a full disk: the write itself fails midway."""
    path = tmp_path / 'answers.jsonl'
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with JsonLines(path) as results:
        results.append({'id': 0})
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, hard))
        try:
            with pytest.raises(OSError, match=r'1 results are kept.*same command.*answers.jsonl'):
                results.append({'id': 1})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_text() == '{"id": 0}\n'
        assert results.records == [{'id': 0}]
        results.append({'id': 1})
    assert lines(path) == [{'id': 0}, {'id': 1}]


def test_what_is_no_json_is_not_written(tmp_path):
    path = tmp_path / 'answers.jsonl'
    with JsonLines(path) as results, pytest.raises(ValueError, match='JSON'):
        results.append({'id': float('nan')})
    assert path.read_bytes() == b''
