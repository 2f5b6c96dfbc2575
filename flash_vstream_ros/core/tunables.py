# SPDX-License-Identifier: Apache-2.0
"""Fields of dataclasses that know their meaning, unit and range, and check them."""

from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from typing import Any
from urllib.parse import urlsplit


def tunable(
    default: Any,
    meaning: str,
    *,
    unit: str = '',
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """Make a dataclass field that knows its meaning, unit and range.

    :param default: the default; its type is the type of the field.
    :param minimum: the smallest value allowed, itself allowed.
    :param maximum: the largest value allowed, itself allowed.
    :param choices: the only values allowed.
    """
    return field(
        default=default,
        metadata={
            'meaning': meaning,
            'unit': unit,
            'minimum': minimum,
            'maximum': maximum,
            'choices': tuple(choices),
        },
    )


def check_tunables(config: Any) -> None:
    """Check every field of a dataclass made of :func:`tunable` fields.

    :raises ValueError: a value has another type than its default or lies outside its range.
    """
    for item in fields(config):
        if not item.metadata:  # no tunable
            continue
        _check_value(item.name, getattr(config, item.name), item.default, item.metadata)


def _check_value(name: str, value: Any, default: Any, metadata: Mapping[str, Any]) -> None:
    is_number = isinstance(default, float) and isinstance(value, int | float)
    if isinstance(value, bool) != isinstance(default, bool) or not (
        is_number or isinstance(value, type(default))
    ):
        raise ValueError(f'{name}: expected {type(default).__name__}, got {value!r}')
    if metadata['choices'] and value not in metadata['choices']:
        raise ValueError(f'{name}: expected one of {list(metadata["choices"])}, got {value!r}')
    low, high = metadata['minimum'], metadata['maximum']
    # Written so that NaN fails as well.
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        raise ValueError(f'{name}: expected a value from {low} to {high}, got {value!r}')


def is_server_url(url: str) -> bool:
    """Whether it is the address of a server, as http://HOST:PORT/v1."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises what is no port
    except ValueError:
        return False
    return parts.scheme in ('http', 'https') and bool(parts.hostname) and ' ' not in url
