# SPDX-License-Identifier: Apache-2.0
"""The report: its numbers are those of the records, and it hides nothing."""

import json

import pytest
from evaluation_samples import record

from flash_vstream_ros.evaluation.metrics import wilson
from flash_vstream_ros.evaluation.plots import AGE_PLOT, RELIABILITY_PLOT, write_plots
from flash_vstream_ros.evaluation.report import to_markdown, write_report
from flash_vstream_ros.evaluation.summary import summarise

REFUSAL = 'I have not seen that.'
SETTINGS = {
    'version': 1,
    'path': 'streaming',
    'inputs': {
        'star': {'weights': 'a', 'trained_on': 'star', 'description': 'the STAR memory'},
        'uniform': {'weights': 'b', 'trained_on': 'uniform', 'description': 'even frames'},
        'last_frame': {'weights': 'a', 'trained_on': 'star', 'description': 'one frame'},
    },
}


def answers(name: str, right: int, **changes) -> list[dict]:
    """Ten closed answers of two streams, four open ones, two about what was never seen."""
    no_choice = {'choices': [], 'choice_probabilities': []}
    closed = [record(n, correct=n < right, event_age=10.0 * n) for n in range(10)]
    open_ = [
        record(n, group='open', type='Scene Summary', correct=n % 2 == 0, **no_choice)
        for n in range(10, 14)
    ]
    unseen = [
        record(
            n,
            group='unanswerable',
            type='Action Description',
            truth=REFUSAL,
            answer=REFUSAL if n == 14 else 'In the kitchen.',
            correct=n == 14,
            event_age=None,
            kept=[],
            kept_share=None,
            **no_choice,
        )
        for n in (14, 15)
    ]
    open_[1]['answer'] = REFUSAL
    both = [*closed, *open_, *unseen]
    return [r | {'input': name, 'video': f'v{i % 2}'} | changes for i, r in enumerate(both)]


@pytest.fixture
def records() -> list[dict]:
    untracked = {'kept': [], 'kept_share': None}
    return [
        *answers('star', 9),
        *answers('uniform', 6, **untracked),
        *answers('last_frame', 5, **untracked),
    ]


def test_the_numbers_are_those_of_the_records(records):
    summary = summarise(records, SETTINGS)
    assert (summary['questions'], summary['streams']) == (16, 2)
    star = summary['inputs']['star']
    assert (star['overall']['n'], star['overall']['right']) == (16, 9 + 2 + 1)
    assert (star['overall']['low'], star['overall']['high']) == wilson(12, 16)
    assert star['groups']['closed']['share'] == 0.9
    assert star['groups']['open']['share'] == 0.5
    assert star['groups']['unanswerable']['share'] == 0.5
    assert star['types']['Event Occurrence']['n'] == 10
    assert star['types']['Ordered Event Narrative'] is None
    assert star['refused_though_seen'] == 1
    assert star['kept']['n'] == 14
    assert star['kept_groups']['closed'] == star['groups']['closed']
    assert star['not_kept'] is None
    assert star['events'] == {
        'asked_about': 14,
        'without_a_frame': 0,
        'kept': 1.0,
        'purity': 0.5,
        'own_share': 0.75,
    }
    assert star['reliability']['error'] == pytest.approx(0.1)
    assert star['star_minus_this'] is None
    assert summary['inputs']['uniform']['star_minus_this']['value'] == pytest.approx(3 / 16)
    assert summary['inputs']['uniform']['events'] is None
    by_type = summary['inputs']['last_frame']['star_minus_this_by_type']
    assert by_type['Event Occurrence']['value'] == pytest.approx(4 / 10)
    assert by_type['Scene Summary']['value'] == 0.0
    assert by_type['Ordered Event Narrative'] is None
    assert star['star_minus_this_by_type']['Scene Summary'] is None


def test_an_event_without_a_frame_counts_as_not_kept(records):
    records[0]['kept'] = [None]
    events = summarise(records, SETTINGS)['inputs']['star']['events']
    assert (events['without_a_frame'], events['kept']) == (1, 13 / 14)


def test_the_table_says_what_was_trained_on_it(records):
    text = to_markdown(summarise(records, SETTINGS))
    assert '| star | the STAR memory | 88 | yes | 75.0 [50.5, 89.8] of 16 |' in text
    assert '| uniform | even frames | 88 | yes |' in text
    assert '| last_frame | one frame | 88 | no |' in text
    old = {name: {'weights': 'a', 'description': '', 'retrained': True} for name in ('star',)}
    text = to_markdown(summarise(records[:16], {**SETTINGS, 'inputs': old}))
    assert '| star |  | 88 | not recorded |' in text


def test_the_table_says_how_many_tokens_were_shown(records):
    for number, item in enumerate(answers('last_frame', 5)):
        records[32 + number] = item | {'tokens': 16 if number % 2 else 8}
    summary = summarise(records, SETTINGS)
    assert summary['inputs']['last_frame']['mean_tokens'] == 12.0
    assert '| last_frame | one frame | 12 | no |' in to_markdown(summary)


def test_several_sets_have_a_table(records):
    assert 'By set' not in to_markdown(summarise(records, SETTINGS))
    for number, item in enumerate(records):
        item['set'] = 'vstream/ego' if number % 16 < 10 else 'vstream/movie'
    records[10] |= {'judgement': 'model', 'score': 4.0}
    records[11] |= {'judgement': 'model', 'score': 1.0}
    summary = summarise(records, SETTINGS)
    sets = summary['inputs']['star']['sets']
    assert (sets['vstream/ego']['overall']['right'], sets['vstream/ego']['overall']['n']) == (
        9,
        10,
    )
    assert sets['vstream/movie']['over_streams']['value'] == 0.5
    assert (sets['vstream/ego']['score'], sets['vstream/movie']['score']) == (None, 2.5)
    text = to_markdown(summary)
    assert '| input | vstream/ego | vstream/movie |' in text
    assert '| star | 90.0 [80.0, 100.0] of 10 | 50.0 [0.0, 100.0] of 6; 2.50 |' in text


def test_clips_of_one_source_are_said_to_be_few(records):
    clips = [r | {'video_name': 'source'} for r in records]
    text = to_markdown(summarise(clips, SETTINGS))
    assert '16 questions to 2 streams of 1 sources (' in text
    assert '75.0 (one stream)' in text
    assert 'sources (' not in to_markdown(summarise(records, SETTINGS))


def test_models_and_judge_are_named(records):
    settings = SETTINGS | {'inputs': {n: dict(i) for n, i in SETTINGS['inputs'].items()}}
    settings['inputs']['star']['model'] = settings['inputs']['last_frame']['model'] = 'models/a'
    text = to_markdown(summarise(records, settings, 'referee', 5))
    assert 'path streaming, judge of open answers referee, limit of the last run 5.' in text
    assert '| models/a | a | star, last_frame |' in text
    assert '| not noted | b | uniform |' in text


def test_every_table_has_a_cell_for_each_column(records):
    for block in to_markdown(summarise(records, SETTINGS)).split('\n\n'):
        lines = [line for line in block.splitlines() if line.startswith('|')]
        assert len({line.count('|') for line in lines}) <= 1, block


def test_what_went_wrong_is_shown(records):
    records[0] |= {'status': 'BAD_REQUEST', 'correct': False}
    records[12] |= {'judgement': 'failed', 'score': None}
    summary = summarise(records, SETTINGS)
    assert summary['inputs']['star']['failed_judgements'] == 1
    text = to_markdown(summary)
    assert '1 x BAD_REQUEST, 1 x judgement failed (counts as wrong)' in text
    assert 'Nothing: every question' not in text


def test_scores_of_the_judge_are_averaged(records):
    for number, score in ((10, 4.0), (12, 1.0)):
        records[number]['score'] = score
    summary = summarise(records, SETTINGS)
    assert summary['inputs']['star']['score'] == 2.5
    assert '2.50' in to_markdown(summary)


def test_inputs_of_other_lengths_are_counted(records):
    """An input that was interrupted is not hidden, and compared on what both answered."""
    summary = summarise(records[:20], SETTINGS)
    assert list(summary['inputs']) == ['star', 'uniform']
    assert summary['inputs']['uniform']['overall']['n'] == 4
    assert summary['inputs']['uniform']['star_minus_this']['n'] == 4


def test_files_are_written_and_read_back(records, tmp_path):
    for item in records:
        item['event_age'] = 1e6  # in the last bin, which has no end
    summary = summarise(records, SETTINGS)
    plots = write_plots(tmp_path, summary)
    write_report(tmp_path, summary, plots)
    assert plots == [AGE_PLOT, RELIABILITY_PLOT]
    for name in plots:
        assert (tmp_path / name).read_bytes().startswith(b'\x89PNG')
        assert f'![{name}]({name})' in (tmp_path / 'report.md').read_text()
    read = json.loads((tmp_path / 'results.json').read_text())
    assert read['inputs']['star']['by_age'][0][:2] == [7680.0, None]
    assert read['inputs']['star']['overall'] == summary['inputs']['star']['overall']


def test_without_events_and_choices_there_is_nothing_to_plot(records, tmp_path):
    bare = [
        r | {'event_age': None, 'choice_probabilities': [], 'kept': [], 'kept_share': None}
        for r in records
    ]
    summary = summarise(bare, SETTINGS)
    assert write_plots(tmp_path, summary) == []
    assert 'No question says when its event was.' in to_markdown(summary)


def test_without_star_nothing_is_compared(records):
    summary = summarise(records[16:], SETTINGS)
    assert summary['inputs']['uniform']['star_minus_this'] is None
