# SPDX-License-Identifier: Apache-2.0
"""A small HTTP server that speaks OpenAI's chat interface, in the process of the test."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = 'secret'
MODEL = 'referee'


class JudgeServer:
    """Replies to each request what ``reply`` makes of its user message.

    :param reply: the text of a reply, an HTTP status, or what is sent in place of a completion.
    """

    def __init__(self, reply: Callable[[str], str | int | dict]) -> None:
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
        if isinstance(text, int):
            return text, {'error': {'message': 'overloaded', 'type': 'server', 'code': None}}
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


@contextmanager
def serving(reply: Callable[[str], str | int]) -> Iterator[JudgeServer]:
    """Serve on a free port of this machine until the end of the block."""
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
            self.end_headers()
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
