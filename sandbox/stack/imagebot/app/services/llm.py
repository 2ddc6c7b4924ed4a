# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from openai import AsyncOpenAI, OpenAI

from app.config import OPENAI_API_KEY, OPENAI_MODEL

SYSTEM_PROMPT = (
    "You are the assistant of a Telegram bot that makes pictures. Answer briefly and to the point, "
    "in the language of the question. Do not use markdown."
)
ENHANCE_PROMPT = (
    "Rewrite the user's idea as one detailed prompt for a text-to-image model. "
    "Describe subject, style, light and composition. Return only the prompt."
)

client = AsyncOpenAI(api_key=OPENAI_API_KEY)
sync_client = OpenAI(api_key=OPENAI_API_KEY)


async def answer(text):
    response = await client.chat.completions.create(
        model=OPENAI_MODEL,
        temperature=0,
        messages=[{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": text}],
    )
    return response.choices[0].message.content


async def answer_stream(text):
    stream = await client.chat.completions.create(
        model=OPENAI_MODEL,
        temperature=0,
        stream=True,
        messages=[{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": text}],
    )
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content


async def chat(history):
    response = await client.chat.completions.create(
        model=OPENAI_MODEL,
        temperature=0.7,
        messages=[{"role": "system", "content": SYSTEM_PROMPT}] + history,
    )
    return response.choices[0].message.content


def answer_sync(text):
    response = sync_client.chat.completions.create(
        model=OPENAI_MODEL,
        temperature=0,
        messages=[{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": text}],
    )
    return response.choices[0].message.content


def enhance_prompt(text):
    response = sync_client.chat.completions.create(
        model=OPENAI_MODEL,
        temperature=0,
        messages=[{"role": "system", "content": ENHANCE_PROMPT}, {"role": "user", "content": text}],
    )
    return response.choices[0].message.content
