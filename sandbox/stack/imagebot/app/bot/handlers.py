# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import logging
import time

from aiogram import F, Router
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.types import ErrorEvent, Message
from redis import Redis
from rq import Queue

from app.bot.sessions import get_session
from app.config import QUEUE_NAME, REDIS_URL
from app.db import log_usage
from app.services import llm
from app.services.translate import translate

logger = logging.getLogger(__name__)
router = Router()

redis = Redis.from_url(REDIS_URL)
queue = Queue(QUEUE_NAME, connection=redis)

STREAM_FROM = 60  # long questions get their answer piece by piece
EDIT_EVERY = 0.8


def track(message, kind, text):
    log_usage(message.chat.id, kind, text, message.from_user.full_name)
    redis.hincrby("stats:requests", kind, 1)
    redis.hset("stats:last_seen", str(message.chat.id), int(time.time()))
    get_session(message.chat.id).prompts.append(text)


@router.message(CommandStart())
async def start(message: Message):
    log_usage(message.chat.id, "start", "", message.from_user.full_name)
    await message.answer(
        "Hi! Ask me anything, or use\n/image <idea> - a picture\n/translate <text> - into English\n"
        "/chat <text> - a talk I remember\n/reset - forget it\nSend a picture as a file and I will resize it."
    )


@router.message(Command("reset"))
async def reset(message: Message):
    get_session(message.chat.id).history.clear()
    await message.answer("Forgotten.")


@router.message(Command("translate"))
async def cmd_translate(message: Message, command: CommandObject):
    if not command.args:
        await message.answer("Usage: /translate <text>")
        return
    track(message, "translate", command.args)
    await message.answer(translate(command.args))


@router.message(Command("chat"))
async def cmd_chat(message: Message, command: CommandObject):
    if not command.args:
        await message.answer("Usage: /chat <text>")
        return
    track(message, "chat", command.args)
    session = get_session(message.chat.id)
    session.add("user", command.args)
    await message.bot.send_chat_action(message.chat.id, "typing")
    text = await llm.chat(session.history)
    session.add("assistant", text)
    await message.answer(text)


@router.message(Command("image"))
async def cmd_image(message: Message, command: CommandObject):
    if not command.args:
        await message.answer("Usage: /image <idea>")
        return
    track(message, "image", command.args)
    job = queue.enqueue("app.worker.tasks.generate_image", message.chat.id, command.args, job_timeout=600)
    logger.info("job %s for %s", job.id, message.chat.id)
    await message.answer(f"⏳ Drawing, {len(queue)} in the queue")


@router.message(F.document | F.photo)
async def upload(message: Message):
    file_id = message.document.file_id if message.document else message.photo[-1].file_id
    track(message, "upload", file_id)
    job = queue.enqueue("app.worker.tasks.resize_upload", message.chat.id, file_id, job_timeout=600)
    logger.info("job %s for %s", job.id, message.chat.id)
    await message.answer("⏳ Resizing")


@router.message(F.text)
async def text(message: Message):
    track(message, "text", message.text)
    await message.bot.send_chat_action(message.chat.id, "typing")
    if len(message.text) < STREAM_FROM:
        await message.answer(await llm.answer(message.text))
        return
    sent = await message.answer("⏳")
    answer, shown, edited = "", "", time.time()
    async for piece in llm.answer_stream(message.text):
        answer += piece
        if time.time() - edited > EDIT_EVERY and answer.strip() != shown:
            shown = answer.strip()
            await sent.edit_text(shown + " ▌")
            edited = time.time()
    await sent.edit_text(answer)


@router.error()
async def on_error(event: ErrorEvent):
    logger.exception("update failed", exc_info=event.exception)
    message = event.update.message
    if message is not None:
        await message.answer("⚠️ Something went wrong, please try again later")
