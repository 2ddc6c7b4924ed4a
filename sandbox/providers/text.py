# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers of the language services: made from the request alone, so that equal requests get equal answers."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

_WORDS = (
    "light river stone garden window letter morning silver bridge quiet engine paper harbour winter colour forest "
    "market signal copper mountain shadow lantern orchard thunder velvet compass meadow crystal voyage ember "
    "horizon canvas whisper anchor marble sparrow cinder willow beacon amber the a of with under over near and "
    "slowly brightly often never makes keeps finds carries holds turns opens follows"
)
WORDS = _WORDS.split()

# Fields of a request that have no part in the answer.
NO_PART_IN_ANSWER = ("user", "metadata", "stream", "stream_options", "store")


def fingerprint(request: dict[str, Any]) -> str:
    """Return the hash (hex) of everything in a chat request that decides its answer."""
    decisive = {key: value for key, value in request.items() if key not in NO_PART_IN_ANSWER}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def completion(request: dict[str, Any]) -> str:
    """Return the answer to a chat request: 30 to 110 words, ending in a mark of the request."""
    mark = fingerprint(request)
    chance = random.Random(mark)
    words = chance.choices(WORDS, k=chance.randint(30, 110))
    sentences = []
    while words:
        cut = chance.randint(6, 14)
        sentences.append(" ".join(words[:cut]).capitalize() + ".")
        words = words[cut:]
    return " ".join([*sentences, f"Ref {mark[:8]}."])


def tokens(text: str) -> list[str]:
    """Cut a text into pieces the size of a language model's tokens; joined they give the text again."""
    pieces = []
    for number, word in enumerate(text.split(" ")):
        word = word if number == 0 else " " + word
        pieces += [word[:7], word[7:]] if len(word) > 8 else [word]
    return pieces


def embedding(text: str, model: str, dimensions: int) -> list[float]:
    """Return a vector of length 1 made from the text and the model's name."""
    chance = random.Random(f"{model}\0{text}")
    vector = [chance.gauss(0.0, 1.0) for _unused in range(dimensions)]
    length = sum(value * value for value in vector) ** 0.5
    return [round(value / length, 8) for value in vector]


def translation(text: str, target: str) -> str:
    """Return a stand-in for a translation: every word turned round, and the target language's code at the end."""
    return " ".join(word[::-1] for word in text.split()) + f" ({target.upper()})"
