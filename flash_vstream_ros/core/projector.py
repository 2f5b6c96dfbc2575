# SPDX-License-Identifier: Apache-2.0
"""Projector: memory tokens -> language tokens."""

from torch import nn


class Projector(nn.Sequential):
    """The published ``mlp2x_gelu``: Linear D -> E, exact GELU, Linear E -> E.

    :param feature_width: D of the memory tokens (N, D).
    :param language_width: E of the language tokens (N, E).
    """

    def __init__(self, feature_width: int, language_width: int) -> None:
        super().__init__(
            nn.Linear(feature_width, language_width),
            nn.GELU(),
            nn.Linear(language_width, language_width),
        )
