# SPDX-License-Identifier: Apache-2.0
"""Results as JSON lines, each written as it comes."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO


def kept(
    results: Iterable[dict[str, Any]], path: Path | None, otherwise: TextIO | None = None
) -> Iterator[dict[str, Any]]:
    """Write results as they come: a failure loses none before it, nor what was there before them.

    :param path: a file that the first result, or the end, makes anew; None: ``otherwise``.
    :param otherwise: None: they are not written.
    :returns: the results.
    """
    with contextlib.ExitStack() as stack:
        out = otherwise
        for result in results:
            if path is not None and out is otherwise:
                out = stack.enter_context(path.open('w', encoding='utf-8'))
            if out is not None:
                out.write(json.dumps(result, ensure_ascii=False) + '\n')
                out.flush()
            yield result
        if path is not None and out is otherwise:
            path.write_bytes(b'')
