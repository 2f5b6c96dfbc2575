# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from flash_vstream_ros.data.json_entries import finite_number, read_entries


@pytest.mark.parametrize('indent', [None, 0, 3])
def test_entries_are_those_of_json_with_the_line_they_begin_at(tmp_path, indent):
    entries = [{'id': n, 'answer': f'number {n}'} for n in range(4)] + [
        [1, {'a': [']', '[']}],
        'text',
        None,
        4.5,
    ]
    path = tmp_path / 'entries.json'
    text = '\n ' + json.dumps(entries, indent=indent) + '\n\n'
    path.write_text(text)
    found = list(read_entries(path))
    assert [entry for _, entry in found] == entries
    lines = text.split('\n')
    for line, entry in found:
        assert json.dumps(entry, indent=indent).split('\n')[0] in lines[line - 1]


def test_an_empty_list_has_no_entries(tmp_path):
    path = tmp_path / 'entries.json'
    path.write_text('[ \n]')
    assert list(read_entries(path)) == []


@pytest.mark.parametrize(
    ('text', 'line', 'word'),
    [
        ('', 1, 'list'),
        ('\n{"a": 1}', 2, 'list'),
        ('[\n{"a": 1},\n{"a" 1}]', 3, 'not JSON'),
        ('[\n{"a": 1}\n{"a": 1}]', 3, 'comma'),
        ('[\n{"a": 1},\n', 3, 'not JSON'),
        ('[{"a": 1},]', 1, 'not JSON'),
        # Neither is an error that the parser of JSON calls its own.
        ('[\n' + 100_000 * '[', 2, 'cannot be read: .*recursion'),
        ('[\n' + 5000 * '9' + ']', 2, 'cannot be read: .*digits'),
    ],
)
def test_json_that_is_none_is_refused_with_its_line(tmp_path, text, line, word):
    path = tmp_path / 'broken.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=rf'broken\.json, line {line}: .*{word}'):
        list(read_entries(path))


@pytest.mark.parametrize(
    ('value', 'number'),
    [
        (3, 3.0),
        (2.5, 2.5),
        (-1, -1.0),
        (10**400, None),
        (float('inf'), None),
        (float('nan'), None),
        (True, None),
        ('3', None),
        (None, None),
    ],
)
def test_a_number_is_one_that_a_float_holds(value, number):
    assert finite_number(value) == number
