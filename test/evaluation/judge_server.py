# SPDX-License-Identifier: Apache-2.0
"""A small HTTP server that speaks OpenAI's chat interface, in the process of the test."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from flash_vstream_ros.evaluation.llm_judge import LanguageModelJudge

KEY = 'secret'
MODEL = 'referee'
YES, NO = '{"pred": "yes", "score": 4}', '{"pred": "no", "score": 1}'


class JudgeServer:
    """Replies to each request what ``reply`` makes of its user message.

    :param reply: the text of a reply, an HTTP status, one with the error's code and perhaps its
        message, what is sent in place of a completion, or what makes one of these of the request.
    """

    def __init__(self, reply: Callable[[str], str | int | tuple[int, str] | dict]) -> None:
        self.reply = reply
        self.requests: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.url = ''

    def handle(self, headers: Any, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.requests.append(body)
        if headers['Authorization'] != f'Bearer {KEY}':
            return 401, {'error': {'message': 'wrong key', 'type': 'auth', 'code': None}}
        if body['model'] != MODEL:
            return 404, {'error': {'message': 'no such model', 'type': 'model', 'code': None}}
        text = self.reply(body['messages'][-1]['content'])
        if callable(text):
            text = text(body)
        if isinstance(text, int):
            text = (text, None)
        if isinstance(text, tuple):
            status, code, *message = text
            message = message[0] if message else 'overloaded'
            return status, {'error': {'message': message, 'type': 'server', 'code': code}}
        if isinstance(text, dict):
            return 200, text
        message = {'role': 'assistant', 'content': text}
        return 200, {
            'id': 'chat-1',
            'object': 'chat.completion',
            'created': 1,
            'model': MODEL,
            'choices': [{'index': 0, 'message': message, 'finish_reason': 'stop'}],
        }


def judge_at(
    server: JudgeServer, model: str = MODEL, key: str = KEY, pause_s: float = 0.0
) -> LanguageModelJudge:
    """A judge that asks a server, and again at once."""
    return LanguageModelJudge(model, server.url, key, pause_s)


@contextmanager
def serving(
    reply: Callable[[str], str | int], extra: dict[str, str] | None = None
) -> Iterator[JudgeServer]:
    """Serve on a free port of this machine until the end of the block.

    :param extra: headers of every reply.
    """
    judge = JudgeServer(reply)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == '/v1/chat/completions'
            body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
            status, answer = judge.handle(self.headers, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Content-Length', str(len(data)))
            for name, value in (extra or {}).items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):  # a judge that was closed has hung up
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing on standard error."""

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    judge.url = f'http://127.0.0.1:{server.server_address[1]}/v1'
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
    thread.start()
    try:
        yield judge
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
