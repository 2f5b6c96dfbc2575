# SPDX-License-Identifier: Apache-2.0
"""A server that speaks vLLM's form of OpenAI's completions, with a model of the test's."""

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from transformers import DynamicCache

from flash_vstream_ros.core.language_model import LanguageModel, Prefix, Sampling


class DecoderServer:
    """Serves completions at ``url``.

    :param end_id: token at which an answer ends.
    """

    def __init__(self, model: LanguageModel, end_id: int) -> None:
        self.model, self.end_id = model, end_id
        self.requests: list[dict[str, Any]] = []
        self.refuses = ''  # with this message
        self.breaks_after = -1  # tokens of a stream
        self.keeps_the_end = False  # to itself
        self.pause_s = 0.0  # before each token
        self.room = 10**9  # tokens that an answer may have
        self.chooses_itself = False  # whatever it is allowed to
        self.name = 'served'  # of its model
        self.knows_others = True  # and serves the same by any name
        self.says_instead: tuple[str, bytes] | None = None  # of a kind, to whatever is asked
        self.left_early = 0  # streams whose reader went away
        self._lock = threading.Lock()  # one model, many threads
        self._server = ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
        self._server.decoder = self
        self._server.daemon_threads = True
        self.url = f'http://127.0.0.1:{self._server.server_port}/v1'
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def streamed(self, token: tuple[int, float], count: int, asked: dict) -> dict:
        """A piece of a stream."""
        is_end = token[0] == self.end_id
        reason = 'length' if count == min(asked['max_tokens'], self.room) else None
        said = [] if is_end and self.keeps_the_end else [token]
        return self.piece(said, 'stop' if is_end else reason)

    def piece(self, tokens: list[tuple[int, float]], reason: str | None) -> dict:
        """A response, or a piece of one."""
        said = {
            'tokens': [f'token_id:{token}' for token, _ in tokens],
            'token_logprobs': [value for _, value in tokens],
            'top_logprobs': [{f'token_id:{token}': value} for token, value in tokens],
            'text_offset': [0] * len(tokens),
        }
        choice = {'index': 0, 'text': 'x' * len(tokens), 'logprobs': said, 'finish_reason': reason}
        about = {'id': 'cmpl-1', 'object': 'text_completion', 'created': 0, 'model': 'served'}
        return about | {'choices': [choice]}

    def tokens(self, asked: dict) -> Iterator[tuple[int, float]]:
        """Compute what was asked for."""
        tensor = base64.b64decode(asked['prompt_embeds'])
        embeddings = torch.load(io.BytesIO(tensor), weights_only=True)
        assert asked['return_tokens_as_token_ids']
        with self._lock:
            prefix = self.model.prefill_prefix(embeddings[:-1])
            first, cache = self._read(prefix, embeddings[-1:])
        if 'allowed_token_ids' in asked:
            time.sleep(self.pause_s)
            (token,) = asked['allowed_token_ids']
            if self.chooses_itself:
                token = int(first.argmax())
            yield token, float(first.log_softmax(-1)[token])
            return
        generator = torch.Generator().manual_seed(asked.get('seed') or 0)
        how = Sampling(asked['temperature'], asked['top_p'], generator)
        said = self.model.decode(first, cache, how)
        for _ in range(min(asked['max_tokens'], self.room)):
            with self._lock:
                token = next(said)
            yield token
            if token[0] == self.end_id:
                return

    @torch.no_grad()
    def _read(self, prefix: Prefix, last: torch.Tensor) -> tuple[torch.Tensor, DynamicCache]:
        cache = DynamicCache(prefix.layers)
        output = self.model.llama(inputs_embeds=last[None], past_key_values=cache)
        return output.logits[0, -1].float(), cache


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        decoder = self.server.decoder
        if not self.path.startswith('/v1'):
            self._send_as(200, *decoder.says_instead)
            return
        assert self.path == '/v1/models'
        self._reply(200, {'object': 'list', 'data': [
            {'id': decoder.name, 'object': 'model', 'created': 0, 'owned_by': 'test'}
        ]})  # fmt: skip

    def do_POST(self) -> None:
        decoder = self.server.decoder
        assert self.path == '/v1/completions'
        asked = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        decoder.requests.append(asked)
        if decoder.says_instead:
            self._send_as(200, *decoder.says_instead)
        elif not decoder.knows_others and asked['model'] != decoder.name:
            self._reply(404, {'error': {'message': 'no such model', 'code': 404}})
        elif decoder.refuses:
            self._reply(400, {'error': {'message': decoder.refuses, 'code': 400}})
        elif asked['stream']:
            self._stream(asked)
        else:
            (token,) = decoder.tokens(asked)
            self._reply(200, decoder.piece([token], 'length'))

    def _reply(self, status: int, content: dict) -> None:
        self._send_as(status, 'application/json', json.dumps(content).encode())

    def _send_as(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, asked: dict) -> None:
        self.send_response(200)
        self.send_header('Content-Type', 'text/event-stream')
        self.end_headers()
        try:
            for count, token in enumerate(self.server.decoder.tokens(asked), start=1):
                if count - 1 == self.server.decoder.breaks_after:
                    return
                time.sleep(self.server.decoder.pause_s)
                self._send(self.server.decoder.streamed(token, count, asked))
            self.wfile.write(b'data: [DONE]\n\n')
        except OSError:
            self.server.decoder.left_early += 1

    def _send(self, piece: dict) -> None:
        self.wfile.write(f'data: {json.dumps(piece)}\n\n'.encode())
        self.wfile.flush()
