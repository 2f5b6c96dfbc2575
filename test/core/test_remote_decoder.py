# SPDX-License-Identifier: Apache-2.0
"""Answers of a server that has the language model are those of the model here."""

import base64
import io
import threading
import time

import pytest
import torch
from decoder_server import DecoderServer
from transformers import AutoModelForCausalLM, AutoTokenizer

from flash_vstream_ros.__main__ import main
from flash_vstream_ros.core import remote_answers
from flash_vstream_ros.core.answer import finish_together
from flash_vstream_ros.core.language_model import ModelError, Sampling
from flash_vstream_ros.core.pipeline import FlashVStream
from flash_vstream_ros.core.random_checkpoint import make_random_checkpoint
from flash_vstream_ros.core.remote_decoder import encode

pytest.importorskip('openai')

QUESTIONS = ('What is on the table?', 'Where is it?', 'Who is there?', 'What is being done?')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return make_random_checkpoint(tmp_path_factory.mktemp('checkpoint') / 'random')


@pytest.fixture(scope='module')
def here(folder):
    return FlashVStream.from_pretrained(folder)


@pytest.fixture
def server(here):
    server = DecoderServer(here.language_model, here.prompt.end_id)
    yield server
    server.close()


@pytest.fixture
def remote(folder, server):
    return FlashVStream.from_pretrained(folder, parts=('language',), decoder_url=server.url)


@pytest.fixture(scope='module')
def snapshot(here):
    memory = here.new_memory()
    side, width = here.geometry.feature_side, here.geometry.feature_width
    generator = torch.Generator().manual_seed(3)
    for second in range(1, 5):
        memory.write(torch.randn(side, side, width, generator=generator), second * 10**9)
    return memory.snapshot()


def assert_equal(found, expected):
    assert found.text == expected.text
    assert found.token_ids == expected.token_ids
    assert found.finish_reason == expected.finish_reason
    assert found.mean_log_probability == pytest.approx(expected.mean_log_probability, abs=1e-4)
    assert found.choice_probabilities == pytest.approx(expected.choice_probabilities, abs=1e-4)


@pytest.mark.parametrize('text', QUESTIONS)
def test_it_says_what_the_model_here_says(text, remote, here, snapshot):
    found = remote.answer(snapshot, text, max_new_tokens=20)
    assert_equal(found, here.answer(snapshot, text, max_new_tokens=20))


def test_choices_get_the_same_probabilities(remote, here, snapshot, server):
    choices = ['yes', 'no', 'on the table']
    found = remote.answer(snapshot, QUESTIONS[0], choices)
    assert_equal(found, here.answer(snapshot, QUESTIONS[0], choices))
    tokens = sum(len(here.prompt.choice(choice)) for choice in choices)
    assert len(server.requests) == tokens, 'one for each token'


def test_several_at_once(remote, here, snapshot, server):
    server.pause_s = 0.01
    batch = remote.new_batch()
    running = {
        text: remote.stream_answer(snapshot, text, max_new_tokens=8, batch=batch)
        for text in QUESTIONS
    }
    running['Is it?'] = remote.stream_answer(snapshot, 'Is it?', ['yes', 'no'], batch=batch)
    answers = finish_together(batch, running)
    for text in QUESTIONS:
        assert_equal(answers[text], here.answer(snapshot, text, max_new_tokens=8))
    assert_equal(answers['Is it?'], here.answer(snapshot, 'Is it?', ['yes', 'no']))


def test_only_embeddings_and_projector_are_loaded(remote, here):
    assert remote.projector is not None
    assert remote.encoder is None
    kept = remote.language_model.embed([5, 6])
    assert torch.equal(kept, here.language_model.embed([5, 6]))
    assert not hasattr(remote.language_model, 'llama')
    assert remote.encoder_id == here.encoder_id


def test_what_is_sent_is_what_vllm_reads(remote, here, snapshot, server):
    remote.answer(snapshot, QUESTIONS[0], max_new_tokens=3)
    sent = server.requests[0]
    assert sent['model'] == 'served', 'the first that the server has'
    tensor = torch.load(io.BytesIO(base64.b64decode(sent['prompt_embeds'])), weights_only=True)
    ids = here.prompt.after_memory(QUESTIONS[0])
    tokens = len(here.prompt.before_memory()) + snapshot.token_count + len(ids)
    assert tensor.shape == (tokens, here.config.language.hidden_size)
    assert torch.equal(tensor[-len(ids) :], here.language_model.embed(ids))
    assert (sent['prompt'], sent['temperature'], sent['stream']) == ('', 0.0, True)


def test_only_the_tensor_is_sent_and_not_what_it_is_a_part_of():
    large = torch.zeros(10_000, 8)
    assert len(encode(large[:2])) < 4000


def test_the_model_may_be_named(folder, server, snapshot):
    named = FlashVStream.from_pretrained(
        folder, parts=('language',), decoder_url=server.url, decoder_model='another'
    )
    named.answer(snapshot, QUESTIONS[0], max_new_tokens=1)
    assert server.requests[0]['model'] == 'another'


def test_a_temperature_and_its_seed_are_passed_on(remote, snapshot, server):
    def ask(seed):
        how = Sampling(1.5, 0.9, torch.Generator().manual_seed(seed))
        return remote.answer(snapshot, QUESTIONS[0], max_new_tokens=8, sampling=how).token_ids

    assert ask(1) == ask(1)
    assert ask(1) != ask(2)
    assert server.requests[0]['temperature'] == 1.5
    assert server.requests[0]['seed'] == server.requests[1]['seed'] is not None


def test_a_server_that_keeps_the_end_to_itself_ends_the_answer(remote, here, snapshot, server):
    first = here.answer(snapshot, QUESTIONS[0], max_new_tokens=5).token_ids
    server.end_id = first[-1]
    server.keeps_the_end = True
    place = first.index(first[-1])
    found = remote.answer(snapshot, QUESTIONS[0], max_new_tokens=20)
    assert found.token_ids == (*first[:place], here.prompt.end_id)
    assert found.finish_reason == 'stop'


def test_who_stops_reading_ends_the_servers_work(remote, snapshot, server):
    server.pause_s = 0.02
    server.end_id = -1
    pieces = remote.stream_answer(snapshot, QUESTIONS[0], max_new_tokens=1000)
    next(pieces)
    pieces.close()
    ends = time.monotonic() + 30.0
    while not server.left_early and time.monotonic() < ends:
        time.sleep(0.02)
    assert server.left_early == 1


def test_a_server_that_refuses_is_quoted(remote, snapshot, server):
    server.refuses = 'You must set `--enable-prompt-embeds`'
    with pytest.raises(ModelError, match=r'decoder_url: .* refused: .*enable-prompt-embeds'):
        remote.answer(snapshot, QUESTIONS[0])
    with pytest.raises(ModelError, match='refused'):
        remote.answer(snapshot, QUESTIONS[0], ['yes', 'no'])
    server.refuses = ''
    assert remote.answer(snapshot, QUESTIONS[0], max_new_tokens=1).answer_tokens == 1


def test_without_a_server_it_says_how_to_start_one(folder, snapshot):
    lost = FlashVStream.from_pretrained(
        folder, parts=('language',), decoder_url='http://127.0.0.1:9/v1'
    )
    with pytest.raises(ModelError, match=r'no answer from http://127.0.0.1:9/v1 .*vllm serve'):
        lost.answer(snapshot, QUESTIONS[0])


def test_a_server_that_chooses_otherwise_is_found_out(remote, snapshot, server):
    server.chooses_itself = True
    with pytest.raises(ModelError, match='takes no notice of allowed_token_ids'):
        remote.answer(snapshot, QUESTIONS[0], ['yes', 'no'])


def test_an_answer_for_which_the_server_has_no_room_ends_there(remote, snapshot, server):
    server.room = 3
    answer = remote.answer(snapshot, QUESTIONS[0], max_new_tokens=10)
    assert (answer.answer_tokens, answer.finish_reason) == (3, 'length')


def test_no_more_is_asked_for_than_is_wanted(remote, snapshot, server):
    remote.answer(snapshot, QUESTIONS[0], max_new_tokens=7)
    assert server.requests[0]['max_tokens'] == 7


def test_choices_that_nobody_wants_any_more_are_not_asked_for(remote, snapshot, server):
    server.pause_s = 0.5
    batch = remote.new_batch()
    pieces = remote.stream_answer(snapshot, 'Is it?', ['yes no ' * 40, 'no'], batch=batch)
    next(pieces)
    ends = time.monotonic() + 30.0
    while not server.requests and time.monotonic() < ends:
        batch.step()
    pieces.close()
    names = ('remote answer', 'remote scores')
    while any(t.name in names for t in threading.enumerate()) and time.monotonic() < ends:
        time.sleep(0.05)  # those under way are still answered
    assert not any(t.name in names for t in threading.enumerate())
    assert 0 < len(server.requests) < 40


def test_a_silent_server_is_not_asked_without_end(remote, snapshot, server, monkeypatch):
    monkeypatch.setattr(remote_answers, '_threads', threading.BoundedSemaphore(2))
    server.pause_s = 1.0
    batch = remote.new_batch()
    for _ in range(2):
        pieces = remote.stream_answer(snapshot, QUESTIONS[0], batch=batch)
        next(pieces)
        pieces.close()
    with pytest.raises(ModelError, match='wait for a server that does not answer'):
        next(remote.stream_answer(snapshot, QUESTIONS[0], batch=batch))


def test_a_stream_that_breaks_off_is_an_error(remote, snapshot, server):
    server.breaks_after = 2
    with pytest.raises(ModelError, match='decoder_url'):
        remote.answer(snapshot, QUESTIONS[0], max_new_tokens=10)


GARBAGE = {
    'a page': ('text/html', b'<html>log in</html>'),
    'no choices': ('application/json', b'{"id": "1"}'),
    'null choices': ('application/json', b'{"choices": null}'),
    'empty choices': ('application/json', b'{"choices": []}'),
    'cut off': ('application/json', b'{"choices": [{"te'),
    'a list': ('application/json', b'[1, 2]'),
    'a broken stream': ('text/event-stream', b'data: {"choi\n\n'),
    'no text': ('text/event-stream', b'data: \xff\xfe\n\n'),
    'null tokens': (
        'text/event-stream',
        b'data: {"choices": [{"text": "a", "logprobs": {"tokens": [null], '
        b'"token_logprobs": [null]}}]}\n\n',
    ),
}


@pytest.mark.parametrize('choices', [None, ['yes', 'no']], ids=['spoken', 'chosen'])
@pytest.mark.parametrize('kind', GARBAGE)
def test_what_is_no_completion_is_an_error_that_names_the_server(
    kind, choices, remote, snapshot, server
):
    server.says_instead = GARBAGE[kind]
    with pytest.raises(ModelError, match=f'decoder_url: {server.url} (sent|broke)'):
        remote.answer(snapshot, QUESTIONS[0], choices)


def test_a_page_in_place_of_the_models_is_an_error_too(folder, snapshot, server):
    server.says_instead = GARBAGE['a page']
    url = server.url.removesuffix('/v1')
    lost = FlashVStream.from_pretrained(folder, parts=('language',), decoder_url=url)
    with pytest.raises(ModelError, match=f'decoder_url: {url} sent what is no completion'):
        lost.answer(snapshot, QUESTIONS[0])


def test_a_server_started_again_with_another_model_is_asked_for_that(remote, snapshot, server):
    remote.answer(snapshot, QUESTIONS[0], max_new_tokens=2)
    server.name, server.knows_others = 'another', False
    with pytest.raises(ModelError, match='no such model'):
        remote.answer(snapshot, QUESTIONS[0], max_new_tokens=2)
    remote.answer(snapshot, QUESTIONS[0], max_new_tokens=2)
    assert server.requests[-1]['model'] == 'another'


def test_an_exported_decoder_is_a_llama_that_transformers_loads(folder, here, tmp_path):
    out = tmp_path / 'decoder'
    assert main(['export-decoder', str(folder), str(out), '--dtype', 'float32']) == 0
    llama = AutoModelForCausalLM.from_pretrained(out)
    for (name, found), (_, expected) in zip(
        llama.named_parameters(), here.language_model.llama.named_parameters(), strict=True
    ):
        assert torch.equal(found, expected), name
    tokenizer = AutoTokenizer.from_pretrained(out)
    text = 'What is on the table?'
    assert tokenizer(text).input_ids == [1, *here.prompt.choice(text)[:-1]]
    assert main(['export-decoder', str(folder), str(out)]) == 1, 'nothing is overwritten'
