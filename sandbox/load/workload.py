# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users ask for, and how often they ask the same: all of it decided by a seed."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import random
from collections.abc import Iterator

DEFAULT_EXPONENT = 0.83
"""How unequal the popularity of prompts is.

Breslau et al., "Web Caching and Zipf-like Distributions: Evidence and Implications" (INFOCOM 1999), found 0.64 to 0.83
in six traces of web requests. No comparable figure for prompts of a chat bot is known to us; a curve over exponents
says more than any single one.
"""
DEFAULT_CATALOGUE = 500
"""Different prompts of each kind."""

MIXES: dict[str, dict[str, int]] = {
    "everyday": {"text": 35, "stream": 20, "chat": 10, "translate": 20, "image": 10, "upload": 5},
    "talk": {"text": 45, "stream": 30, "chat": 10, "translate": 15},
    "pictures": {"image": 70, "upload": 30},
}
"""Share of each kind of request in percent, by the name of the mix."""

API_CALLS = {"stats": 40, "media": 30, "chat": 20, "job": 10}
API_SHARE = 0.3
"""Chance that a user looks at the web side before the next message."""


def _words(text: str) -> list[str]:
    return text.split()


_NOUNS = _words(
    "river harbour garden engine letter mountain lantern orchard window market bridge forest violin kettle balloon "
    "library compass glacier lighthouse carousel"
)
_QUALITIES = _words("old quiet red broken tiny golden foggy distant wooden electric frozen busy")
_THEMES = _words("winter trade music sleep bread weather sailing memory colour iron childhood distance")
_STYLES = ["watercolour", "oil painting", "pencil sketch", "photograph", "pixel art", "woodcut", "mosaic", "low poly"]
_GERMAN_NOUNS = _words("Fluss Hafen Garten Brief Berg Markt Wald Fenster Kessel Turm Bahnhof Sommer")
_GERMAN_VERBS = _words("wartet schweigt leuchtet verschwindet wächst erzählt friert träumt")
_GERMAN_PLACES = ["am Abend", "hinter dem Haus", "seit gestern", "ohne uns", "in der Stadt", "bei Regen"]


class Zipf:
    """Ranks 0..size-1; rank r is drawn with a probability proportional to 1 / (r + 1) ** exponent."""

    def __init__(self, size: int, exponent: float) -> None:
        if size < 1:
            raise ValueError(f"a distribution needs at least one rank, not {size}")
        self._cumulative = list(itertools.accumulate((rank + 1) ** -exponent for rank in range(size)))

    def draw(self, chance: random.Random) -> int:
        return bisect.bisect_right(self._cumulative, chance.random() * self._cumulative[-1])

    def probability(self, rank: int) -> float:
        below = self._cumulative[rank - 1] if rank else 0.0
        return (self._cumulative[rank] - below) / self._cumulative[-1]


def _texts() -> Iterator[str]:
    for quality, noun, theme in itertools.product(_QUALITIES, _NOUNS, _THEMES):
        yield f"Why does a {quality} {noun} suit {theme}?"


def _long_texts() -> Iterator[str]:
    for quality, noun, theme in itertools.product(_QUALITIES, _NOUNS, _THEMES):
        yield (
            f"Please explain to me, step by step and with an example, what a {quality} {noun} has to do with {theme}, "
            "and what I should read about it first."
        )


def _chats() -> Iterator[str]:
    for noun, theme, quality in itertools.product(_NOUNS, _THEMES, _QUALITIES):
        yield f"Let us talk about {theme} and the {quality} {noun}"


def _translations() -> Iterator[str]:
    for noun, verb, place, other in itertools.product(_GERMAN_NOUNS, _GERMAN_VERBS, _GERMAN_PLACES, _GERMAN_NOUNS):
        yield f"Der {noun} {verb} {place}, und niemand fragt nach dem {other}."


def _images() -> Iterator[str]:
    for quality, noun, style in itertools.product(_QUALITIES, _NOUNS, _STYLES):
        yield f"a {quality} {noun}, {style}"


_SOURCES = {"text": _texts, "stream": _long_texts, "chat": _chats, "translate": _translations, "image": _images}


def catalogue(kind: str, size: int) -> list[str]:
    """Return `size` different prompts of a kind, the most popular first. Raises ValueError when there are fewer.

    Which ones are popular does not depend on a run's seed: two runs ask for the same things, in another order.
    """
    prompts = list(_SOURCES[kind]())
    if size > len(prompts):
        raise ValueError(f"there are only {len(prompts)} different prompts of the kind {kind}")
    random.Random(f"catalogue {kind}").shuffle(prompts)
    return prompts[:size]


@dataclasses.dataclass(frozen=True)
class Request:
    """One thing a user does: `think` seconds of silence, then perhaps one call of the web side, then the message."""

    kind: str
    prompt: str
    picture: int
    think: float
    api: str | None
    api_prompt: str


def parse_think(text: str) -> tuple[str, float]:
    """Read `exponential:MEAN` or `constant:SECONDS`. Raises ValueError for anything else."""
    name, _unused, number = text.partition(":")
    if name not in ("exponential", "constant"):
        raise ValueError(f"think time is exponential:MEAN or constant:SECONDS, not {text!r}")
    seconds = float(number)
    if seconds < 0:
        raise ValueError("think time cannot be negative")
    return name, seconds


def _choose(chance: random.Random, weights: dict[str, int]) -> str:
    return chance.choices(list(weights), weights=list(weights.values()))[0]


class Workload:
    """All users' requests: the same for the same arguments."""

    def __init__(self, seed: int, exponent: float, size: int, mix: str, think: str) -> None:
        self._seed = seed
        self._zipf = Zipf(size, exponent)
        self._mix = MIXES[mix]
        self._think, self._mean = parse_think(think)
        self._prompts = {kind: catalogue(kind, size) for kind in _SOURCES}

    def _pause(self, chance: random.Random) -> float:
        if self._think == "constant" or self._mean == 0:
            return self._mean
        # Cut off at ten times the mean, as TPC-W (clause 5.3.2.1) does with its think times.
        return min(chance.expovariate(1 / self._mean), 10 * self._mean)

    def of_user(self, user: int) -> Iterator[Request]:
        """Yield a user's requests, without end."""
        chance = random.Random(f"{self._seed} {user}")
        while True:
            kind = _choose(chance, self._mix)
            prompts = self._prompts.get(kind)
            api = _choose(chance, API_CALLS) if chance.random() < API_SHARE else None
            api_prompts = self._prompts["image" if api == "job" else "text"]
            yield Request(
                kind=kind,
                prompt=prompts[self._zipf.draw(chance)] if prompts else "",
                picture=chance.randrange(1000),
                think=self._pause(chance),
                api=api,
                api_prompt=api_prompts[self._zipf.draw(chance)],
            )
