# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What aiogram's models say of themselves and do, as lines of text: the same with lazy-models and without.

Run by `aiogram_versions.py` in an environment with one aiogram; needs nothing else.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import sys
import typing

import aiogram.methods
import aiogram.types
from aiogram.methods.base import Response
from pydantic import BaseModel, TypeAdapter

WHO = {"id": 7, "is_bot": False, "first_name": "Ann"}
CHAT = {"id": 7, "type": "private", "first_name": "Ann"}
MESSAGE = {
    "message_id": 5,
    "date": 1700000000,
    "chat": CHAT,
    "from": WHO,
    "text": "/start now",
    "entities": [{"type": "bot_command", "offset": 0, "length": 6}],
    "reply_to_message": {
        "message_id": 4,
        "date": 1700000000,
        "chat": CHAT,
        "photo": [{"file_id": "a", "file_unique_id": "b", "width": 1, "height": 2}],
    },
    "not_in_the_api_yet": {"x": 1},
}
UPDATES = [
    {"update_id": 1, "message": MESSAGE},
    {"update_id": 2, "callback_query": {"id": "1", "from": WHO, "chat_instance": "x", "data": "d", "message": MESSAGE}},
    {"update_id": 3, "inline_query": {"id": "1", "from": WHO, "query": "q", "offset": ""}},
    {
        "update_id": 4,
        "my_chat_member": {
            "chat": CHAT,
            "from": WHO,
            "date": 1700000000,
            "old_chat_member": {"status": "member", "user": WHO},
            "new_chat_member": {"status": "kicked", "user": WHO, "until_date": 0},
        },
    },
    {"update_id": 5, "message": {"message_id": "no number"}},
]


def text_of(value: object) -> str:
    """A text without addresses, which differ from run to run."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def attempt(what: typing.Callable[[], object]) -> str:
    try:
        return text_of(what())
    except Exception as error:
        return f"{type(error).__name__}: {re.sub(r' at 0x[0-9a-f]+', '', str(error))}"


def models() -> list[type[BaseModel]]:
    found = []
    for module in (aiogram.types, aiogram.methods):
        for name in sorted(module.__all__):
            one = getattr(module, name)
            if isinstance(one, type) and issubclass(one, BaseModel):
                found.append(one)
    return found


def described(model: type[BaseModel]) -> typing.Iterator[str]:
    """Fields, signature, JSON schema."""
    for name, field in model.model_fields.items():
        yield f"{model.__name__}.{name} {text_of(field)}"
    yield f"{model.__name__} {attempt(lambda: inspect.signature(model))}"
    yield f"{model.__name__} {attempt(lambda: json.dumps(model.model_json_schema()))}"


class Untyped(BaseModel):
    value: typing.Any = None


def behaviour() -> typing.Iterator[str]:
    """Parsing, building, serializing; subclasses, generics, fields of another's models; also models never validated."""
    from aiogram.types import Chat, InlineKeyboardButton, InlineKeyboardMarkup, Message, Update, User

    class Own(Message):
        extra_note: str = "x"

    class Holder(BaseModel):
        user: User
        chats: typing.List[Chat] = []  # noqa: UP006 - Python 3.8
        last: typing.Optional[Message] = None  # noqa: UP045

    yield attempt(lambda: Untyped(value=Chat.model_construct(id=1, type="private")).model_dump())
    yield attempt(lambda: Untyped(value=User.model_construct(id=1, first_name="x")).model_dump_json())
    for update in UPDATES:
        yield attempt(lambda update=update: Update.model_validate(update).model_dump())
        yield attempt(lambda update=update: Untyped(value=Update.model_validate(update).message).model_dump_json())
    yield attempt(lambda: Holder.model_validate({"user": WHO, "chats": [CHAT], "last": MESSAGE}).model_dump_json())
    yield attempt(Holder.model_json_schema)
    yield attempt(lambda: Own.model_validate({**MESSAGE, "extra_note": "y"}).model_dump())
    yield attempt(lambda: sorted(Own.model_fields))
    yield attempt(lambda: Response[Message].model_validate({"ok": True, "result": MESSAGE}).model_dump())
    yield attempt(lambda: Response[typing.List[Update]].model_validate({"ok": True, "result": UPDATES[:3]}))  # noqa: UP006
    yield attempt(lambda: TypeAdapter(typing.List[Message]).validate_python([MESSAGE]))  # noqa: UP006
    yield attempt(
        lambda: aiogram.methods.SendMessage(
            chat_id=1,
            text="x",
            reply_markup=InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="a", callback_data="b")]]),
        ).model_dump(warnings=False)
    )
    yield attempt(lambda: aiogram.methods.SendMessage(chat_id=[], text=1))
    message = Update.model_validate(UPDATES[0]).message
    yield attempt(lambda: message.answer("hi").model_dump())
    yield attempt(lambda: message.model_copy(update={"text": "new"}).text)
    yield attempt(lambda: hash(message) == hash(Update.model_validate(UPDATES[0]).message))
    yield attempt(lambda: message == Message.model_validate(MESSAGE))
    yield attempt(lambda: setattr(message, "text", "frozen"))
    yield attempt(Message.model_rebuild)
    yield attempt(lambda: Message.model_rebuild(force=True))


def main() -> None:
    lines = list(behaviour())
    for model in models():
        lines.extend(described(model))
    if "--all" in sys.argv:
        print("\n".join(lines))
    else:
        print(len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest())


if __name__ == "__main__":
    main()
