# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Train the gateway's compression dictionary from generated answers, and measure what it saves.

The answers have the providers' real fields; their text is made of the phrases that assistants use most, in English,
Russian and German. Nothing of it comes from anybody's use, nor from the sandbox's stand-ins.

    python bench/gateway_dictionary.py train     write headroom_gateway/dictionary-N.zstd (never over a released one)
    python bench/gateway_dictionary.py measure   bytes before and after, on answers that were not trained on; ends with
                                                 1 where chat answers of real prose save less than TARGET in Redis

Needed: zstandard; `measure` also asks a redis-server (started here) what an answer costs in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import pydoc_data.topics
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import zstandard

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "roles/stage3_caching/files/gateway"
sys.path[:0] = [str(ROOT), str(ROOT / "tests/gateway"), str(PACKAGE)]
sys.dont_write_bytecode = True

from headroom_gateway import entry  # noqa: E402

TARGET, PROSE = 0.7, "chat answers of manual prose"
DICTIONARY_BYTES = 112640
SAMPLES = 6000
SEED = 20261122

PHRASES = {
    "en": """
Sure! Here is|Certainly! Below is|Of course.|I'm sorry, but I can't help with that.|Here are some ideas:|In short,|
The answer depends on|For example,|However,|In addition,|On the other hand,|As a result,|This means that|
It is important to note that|You can use|You could try|There are several ways to|The most common|one of the most|
Let me know if you would like|I hope this helps!|Would you like me to|Keep in mind that|First,|Second,|Finally,|
in the style of|a detailed prompt:|soft natural light|highly detailed|wide-angle view|shallow depth of field|
warm colors|cinematic lighting|in the foreground|in the background|the composition|a sense of|photorealistic|
because it is|which is why|such as|as well as|at the same time|more than|less than|as soon as possible|
the user|the picture|the image|the question|the following|between the two|over the years|in the world|
people often|it has been|there is no|you should|you need to|make sure that|according to|based on|with the help of|
what you are looking for|step by step|from time to time|not only|but also|even though|so that|in order to|
can be|may be|will be|should be|has been|have been|would be|could be|does not|do not|is not|are not|was not
""",
    "ru": """
Конечно! Вот|Да, конечно.|К сожалению, я не могу|Вот несколько идей:|Если коротко,|Это зависит от|Например,|Однако|
Кроме того,|С другой стороны,|В результате|Это значит, что|Важно отметить, что|Вы можете использовать|Попробуйте|
Есть несколько способов|Самый распространённый|один из самых|Если хотите,|Надеюсь, это поможет!|Хотите, чтобы я|
Во-первых,|Во-вторых,|Наконец,|в стиле|мягкий естественный свет|высокая детализация|на переднем плане|на заднем плане|
потому что|а также|в то же время|больше чем|меньше чем|как можно скорее|картинка|изображение|вопрос|следующее|между|
в мире|люди часто|нет|нужно|можно|убедитесь, что|согласно|с помощью|шаг за шагом|не только|но и|чтобы|который|которая|
быть|был|была|были|будет|это|этот|того|для|при|после|перед|очень|также|если|когда|где|как
""",
    "de": """
Natürlich! Hier ist|Gerne.|Leider kann ich dabei nicht helfen.|Hier sind einige Ideen:|Kurz gesagt,|Das hängt davon ab,|
Zum Beispiel|Allerdings|Außerdem|Andererseits|Das bedeutet, dass|Wichtig ist, dass|Du kannst|Sie können|Es gibt mehrere|
eine der|Wenn du möchtest,|Ich hoffe, das hilft!|Zuerst|Dann|Schließlich|im Stil von|weiches Licht|sehr detailliert|
im Vordergrund|im Hintergrund|weil es|sowie|gleichzeitig|mehr als|weniger als|das Bild|die Frage|zwischen|auf der Welt|
nicht nur|sondern auch|damit|um zu|kann|wird|wurde|haben|werden|sollte|nicht|sehr|wenn|wann|wo|wie
""",
}
WORDS = {
    "en": "time year day way thing man world life hand part child eye woman place work week case point company number "
    "group problem fact good new first last long great little own other old right big high different small large "
    "next early young few public same able water light house city tree sky sea river mountain night morning winter "
    "summer color blue red green golden dark bright simple modern beautiful quiet busy open make take find give tell "
    "feel become leave put mean keep begin seem show hear play run move live believe bring happen write provide sit "
    "stand lose pay meet include continue set learn change lead understand watch follow stop create speak read spend "
    "grow walk win offer remember love consider appear buy wait serve send expect build stay fall cut reach remain",
    "ru": "время год день раз человек мир жизнь рука часть ребёнок глаз женщина место работа неделя случай вопрос "
    "компания число группа проблема факт хороший новый первый последний большой маленький другой старый город вода "
    "свет дом дерево небо море река гора ночь утро зима лето цвет синий красный зелёный золотой тёмный яркий простой "
    "современный красивый тихий сделать найти дать сказать чувствовать стать оставить показать начать играть жить",
    "de": "Zeit Jahr Tag Mensch Welt Leben Hand Teil Kind Auge Frau Ort Arbeit Woche Fall Punkt Firma Zahl Gruppe "
    "Problem gut neu erste letzte lang groß klein andere alt Stadt Wasser Licht Haus Baum Himmel Meer Fluss Berg "
    "Nacht Morgen Winter Sommer Farbe blau rot grün golden dunkel hell einfach modern schön still machen finden geben",
}
LANGUAGES = ("en", "en", "en", "ru", "ru", "de")
MODELS = ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06", "gpt-4.1-mini-2025-04-14", "gpt-5-mini",
          "llama-3.3-70b-versatile", "deepseek-chat", "mistral-small-latest")  # fmt: skip


class Writer:
    """Writes answers like a provider's; one seed gives one series of them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._phrases = {name: re.sub(r"\n", "", text).split("|") for name, text in PHRASES.items()}

    def _token(self, size: int) -> str:
        return "".join(self.chance.choices("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", k=size))

    def prose(self) -> str:
        chance = self.chance
        language = chance.choice(LANGUAGES)
        phrases, words = self._phrases[language], WORDS[language].split()
        sentences = []
        for _unused in range(chance.randint(1, 9)):
            parts = [chance.choice(phrases)]
            for _also_unused in range(chance.randint(1, 4)):
                parts += chance.choices(words, k=chance.randint(1, 3))
                parts.append(chance.choice(phrases))
            sentences.append(" ".join(parts) + chance.choice((".", ".", ".", "?", "!", ":")))
        glue = chance.choice((" ", " ", " ", "\n\n", "\n- ", "\n\n1. **"))
        return glue.join(sentences)

    def _head(self, kind: str) -> dict[str, Any]:
        created = self.chance.randint(17 * 10**8, 19 * 10**8)
        model = self.chance.choice(MODELS)
        return {"id": "chatcmpl-" + self._token(29), "object": kind, "created": created, "model": model}

    def chat(self, content: str) -> tuple[str, bytes]:
        count = len(content) // 4
        asked = self.chance.randint(20, 900)
        message = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        usage: dict[str, Any] = {"prompt_tokens": asked, "completion_tokens": count, "total_tokens": asked + count}
        if self.chance.random() < 0.7:
            usage["prompt_tokens_details"] = {"cached_tokens": 0, "audio_tokens": 0}
            names = ("reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens")
            usage["completion_tokens_details"] = dict.fromkeys(names, 0)
        body = {**self._head("chat.completion"), "choices": [choice], "usage": usage}
        if self.chance.random() < 0.7:
            body |= {"service_tier": "default", "system_fingerprint": "fp_" + self._token(10).lower()}
        indent = 2 if self.chance.random() < 0.4 else None
        return "application/json", json.dumps(body, indent=indent, ensure_ascii=self.chance.random() < 0.3).encode()

    def stream(self, content: str) -> tuple[str, bytes]:
        head = {**self._head("chat.completion.chunk"), "service_tier": "default", "system_fingerprint": "fp_44709d6fcb"}
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
        deltas += [{"content": piece} for piece in re.findall(r"\s?\S{1,7}", content)]
        lines = []
        for number, delta in enumerate([*deltas, {}]):
            end = "stop" if number == len(deltas) else None
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": end}
            lines.append("data: " + json.dumps({**head, "choices": [choice]}, separators=(",", ":")) + "\n\n")
        return "text/event-stream; charset=utf-8", ("".join(lines) + "data: [DONE]\n\n").encode()

    def anthropic(self, content: str) -> tuple[str, bytes]:
        usage = {"input_tokens": self.chance.randint(20, 900), "cache_creation_input_tokens": 0,
                 "cache_read_input_tokens": 0, "output_tokens": len(content) // 4,
                 "service_tier": "standard"}  # fmt: skip
        body = {"model": "claude-sonnet-4-20250514", "id": "msg_" + self._token(24), "type": "message",
                "role": "assistant", "content": [{"type": "text", "text": content}], "stop_reason": "end_turn",
                "stop_sequence": None, "usage": usage}  # fmt: skip
        return "application/json", json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()

    def gemini(self, content: str) -> tuple[str, bytes]:
        candidate = {"content": {"parts": [{"text": content}], "role": "model"}, "finishReason": "STOP",
                     "avgLogprobs": -self.chance.random()}  # fmt: skip
        body = {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 90,
                "totalTokenCount": 99}, "modelVersion": "gemini-2.0-flash", "responseId": self._token(22)}  # fmt: skip
        return "application/json; charset=UTF-8", json.dumps(body, indent=2, ensure_ascii=False).encode()

    def translation(self, content: str) -> tuple[str, bytes]:
        item = {"detected_source_language": self.chance.choice(("DE", "RU", "EN")), "text": content[:120]}
        return "", json.dumps([item, {}, {}], separators=(",", ":"), ensure_ascii=False).encode()

    def fal(self, content: str) -> tuple[str, bytes]:
        number = "-".join(self._token(size).lower() for size in (8, 4, 4, 4, 12))
        url = f"https://queue.fal.run/fal-ai/flux/requests/{number}"
        submitted = {"status": "IN_QUEUE", "request_id": number, "response_url": url, "status_url": url + "/status",
                     "cancel_url": url + "/cancel", "queue_position": 0}  # fmt: skip
        status = {**submitted, "status": "COMPLETED", "logs": None, "metrics": {"inference_time": self.chance.random()}}
        image = {"url": f"https://v3.fal.media/files/panda/{self._token(21)}.jpg", "width": 1024, "height": 768,
                 "content_type": "image/jpeg"}  # fmt: skip
        result = {"images": [image], "timings": {"inference": self.chance.random()},
                  "seed": self.chance.randrange(2**32), "has_nsfw_concepts": [False],
                  "prompt": content[:200]}  # fmt: skip
        return "application/json", json.dumps([json.dumps(part) for part in (submitted, status, result)]).encode()

    def answers(self, count: int) -> Iterator[tuple[str, str, bytes]]:
        """Yield (kind, content type, body)."""
        kinds: list[Callable[[str], tuple[str, bytes]]] = [self.chat] * 5 + [
            self.stream, self.anthropic, self.gemini, self.translation, self.fal
        ]  # fmt: skip
        for _unused in range(count):
            kind = self.chance.choice(kinds)
            yield kind.__name__, *kind(self.prose())


def payload(content_type: str, body: bytes, request_id: str = "") -> bytes:
    """Return what is compressed: the kept headers and the body, as entry.py writes them."""
    headers = f"content-type: {content_type}\n" if content_type else ""
    if request_id:
        headers += f"x-request-id: {request_id}\n"
    return len(headers).to_bytes(2, "big") + headers.encode() + body


def train() -> bool:
    target = PACKAGE / "headroom_gateway" / entry.DICTIONARIES[entry.NEWEST]
    writer = Writer(SEED)
    samples = [
        payload(kind, body, "req_" + writer._token(32).lower() if number % 2 else "")
        for number, (_unused, kind, body) in enumerate(writer.answers(SAMPLES))
    ]
    dictionary = zstandard.train_dictionary(DICTIONARY_BYTES, samples, level=entry.LEVEL, threads=1)
    target.write_bytes(dictionary.as_bytes())
    print(f"{target.name}: {target.stat().st_size} bytes from {sum(map(len, samples))} bytes in {len(samples)} answers")
    return True


def manual_prose() -> Iterator[str]:
    """Yield paragraphs of Python's manual: English that nobody made for this."""
    for text in pydoc_data.topics.topics.values():
        for paragraph in re.split(r"\n\s*\n", text):
            plain = " ".join(paragraph.split())
            if 150 < len(plain) < 1200 and plain[0].isupper():
                yield plain


def measured_sets() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Yield (what, answers) for measuring: none of them was trained on."""
    from sandbox.providers import text as stand_in

    other = Writer(SEED + 1)
    found: dict[str, list[tuple[str, bytes]]] = {}
    for kind, content_type, body in other.answers(8000):
        found.setdefault(kind, []).append((content_type, body))
    yield from ((f"generated: {kind}", answers) for kind, answers in sorted(found.items()))
    contents = [stand_in.completion({"messages": number}) for number in range(1500)]
    yield "the sandbox's chat answers", [other.chat(content) for content in contents]
    yield "the sandbox's streams", [other.stream(content) for content in contents]
    prose = list(manual_prose())[:500]
    yield PROSE, [other.chat(content) for content in prose]
    yield "streams of manual prose", [other.stream(content) for content in prose]


def in_redis(redis: Any, answers: list[tuple[str, bytes]]) -> tuple[float, float]:
    """Return what an answer costs in Redis, in bytes: as it is under a hexadecimal key, and as the gateway keeps it."""
    from headroom_gateway.policy import load
    from headroom_gateway.redis_link import RedisLink
    from headroom_gateway.store import Store

    total = """
        local bytes = 0
        for _, name in ipairs(redis.call('KEYS', '*')) do
            bytes = bytes + redis.call('MEMORY', 'USAGE', name, 'SAMPLES', 0)
        end
        return bytes
    """

    async def keep() -> tuple[float, float]:
        link = RedisLink(redis.url, 5.0, 3, 1.0)
        store = Store(link, load())
        redis.cli("FLUSHALL")
        for number, (_unused, body) in enumerate(answers):
            name = hashlib.sha256(b"%d" % number).hexdigest().encode()
            await link.call((b"SET", b"cache:" + name, body, b"EX", b"600"))
        plain = int(redis.cli("EVAL", total, "0"))
        redis.cli("FLUSHALL")
        for number, (content_type, body) in enumerate(answers):
            headers = [(b"content-type", content_type.encode())] if content_type else []
            one = entry.Entry(1_790_000_000, 1_790_600_000, headers, body)
            await store.put("openai", hashlib.sha256(b"%d" % number).digest()[:16], one, 600)
        await store.close()
        return plain / len(answers), int(redis.cli("EVAL", total, "0")) / len(answers)

    return asyncio.run(keep())


def measure() -> bool:
    """Print what is saved; returns whether that is as much as it should be."""
    from place import Redis, folder

    with folder() as where:
        redis = Redis(where)
        try:
            return measure_with(redis)
        finally:
            redis.process.stop()


def measure_with(redis: Any) -> bool:
    saved = {}
    print(f"{'':32}{'answers':>8}{'mean B':>8}{'zstd':>8}{'dictionary':>12}{'Redis B':>9}{'ours B':>8}{'less':>8}")
    for what, answers in measured_sets():
        whole = plain = small = 0
        without = zstandard.ZstdCompressor(level=entry.LEVEL)
        for content_type, body in answers:
            data = payload(content_type, body)
            packed = entry.pack(
                entry.Entry(1, 2, [(b"content-type", content_type.encode())] * bool(content_type), body)
            )
            whole += len(body)
            plain += len(without.compress(data))
            small += len(packed)
        as_it_is, ours = in_redis(redis, answers)
        saved[what] = 1 - ours / as_it_is
        print(f"{what:32}{len(answers):8}{whole / len(answers):8.0f}{1 - plain / whole:8.1%}{1 - small / whole:12.1%}"
              f"{as_it_is:9.0f}{ours:8.0f}{saved[what]:8.1%}")  # fmt: skip
    return saved[PROSE] >= TARGET


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "measure"))
    return 0 if {"train": train, "measure": measure}[parser.parse_args().what]() else 1


if __name__ == "__main__":
    sys.exit(main())
