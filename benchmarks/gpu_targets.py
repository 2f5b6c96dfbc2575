# SPDX-License-Identifier: Apache-2.0
"""What is wanted of the published 7B on a GPU, by the names of figures."""

import re
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.measure import Figure

PEAK_GB = {'none': 15.0, 'nf4': 6.0}  # by the kind of the weights
_WANTED = (
    (r'encode and write, batch 1(, captured)?', {'at_least': 400.0}),
    (r'encode and write, batch 32(, captured)?', {'at_least': 2000.0}),
    (r'memory: write, waited for(, captured)?', {'at_most': 0.1}),
    (r'.*: prepared: first token', {'at_most': 10.0}),
    (r'.*: cold: first token', {'at_most': 30.0}),
    (r'.* / a read of the weights for each token', {'at_most': 1.25}),
    (r'.*: answers one by one / at once', {'at_least': 5.0}),
    (r'.*: transformers\.generate / (?!plain$).*', {'at_least': 3.0}),
)


def with_targets(figures: Sequence[Figure], quantization: str) -> list[Figure]:
    """Figures, each with what is wanted of it, where something is."""
    peak = (r'peak GPU memory .*', {'at_most': PEAK_GB[quantization]})
    wanted = (*_WANTED, peak)
    return [
        replace(figure, **next((t for name, t in wanted if re.fullmatch(name, figure.name)), {}))
        for figure in figures
    ]
