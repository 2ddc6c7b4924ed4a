# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which features there are, what each needs to see imported, and how the environment variable names them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Options = Mapping[str, str]


class UnknownFeature(ValueError):
    """The variable names a feature or an option that is not here."""


class Feature:
    """One feature: its module, and the function of it to call after each of these libraries' modules was imported.

    `options` maps each option to its default; the default's type is the option's type. `instead` names functions to
    call in the place of a package's own code.
    """

    def __init__(
        self,
        module: str,
        after: Mapping[str, str],
        options: Mapping[str, object],
        instead: Mapping[str, str] | None = None,
    ) -> None:
        self.module = module
        self.after = after
        self.options = options
        self.instead = instead or {}


FEATURES = {
    "lazy-models": Feature(
        "headroom_runtime.lazy_models",
        {"pydantic.main": "patch_pydantic", "aiogram.methods.base": "defer_aiogram_methods"},
        {},
        # Packages of types that gather hundreds of modules: SDKs that were made by one generator.
        dict.fromkeys(("openai.types", "anthropic.types", "groq.types", "together.types"), "gather_types"),
    ),
    "release-memory": Feature(
        "headroom_runtime.release_memory",
        {
            "asyncio.base_events": "watch_loops",
            "uvicorn.server": "watch_uvicorn",
            "rq.worker": "release_after_jobs",
        },
        {"idle": 20.0, "freeze": True},
    ),
    "images": Feature(
        "headroom_runtime.images",
        {"PIL.ImageFile": "cap", "PIL.JpegImagePlugin": "draft_before_load"},
        {"pixels": -1, "draft": False},
    ),
    "http": Feature(
        "headroom_runtime.http",
        {
            "httpx._transports.default": "share_contexts",
            "httpx2._transports.default": "share_contexts",
            # The library, not its module: stage 3's redirect, which must find the timeout set, has acted then.
            "requests": "limit_waiting",
            "requests.api": "keep_connections",
        },
        {"connect": 10.0, "read": 300.0, "keep": 3.0},
    ),
    "api": Feature(
        "headroom_runtime.api",
        {
            "starlette.applications": "wrap_applications",
            "fastapi.applications": "wrap_applications",
            "aiogram.dispatcher.dispatcher": "count_updates",
        },
        {"min_size": 1024, "level": 5, "counters": "", "users": "", "user_header": "", "user_query": ""},
    ),
    "tempfiles": Feature("headroom_runtime.tempfiles", {"rq.worker": "folder_for_each_job"}, {}),
}


def parse(text: str) -> dict[str, dict[str, str]]:
    """`a,b:x=1:y=2` as {feature: {option: value}}. Blanks around names are allowed; an empty text names nothing."""
    found: dict[str, dict[str, str]] = {}
    for part in text.split(","):
        name, *options = part.strip().split(":")
        if name:
            pairs = (option.partition("=") for option in options if option)
            found[name] = {key.strip(): value for key, _unused, value in pairs}
    return found


def typed(feature: str, options: Mapping[str, str]) -> dict[str, object]:
    """All options of a feature with their values. Raises UnknownFeature, ValueError for a value of the wrong type."""
    if feature not in FEATURES:
        raise UnknownFeature(f"there is no feature {feature!r}; there are {', '.join(sorted(FEATURES))}")
    known = FEATURES[feature].options
    for name in options:
        if name not in known:
            raise UnknownFeature(f"{feature} has no option {name!r}; it has {', '.join(sorted(known)) or 'none'}")
    return {name: _like(default, options[name]) if name in options else default for name, default in known.items()}


def _like(default: object, text: str) -> object:
    if isinstance(default, bool):
        if text not in ("0", "1"):
            raise ValueError(f"{text!r} is neither 0 nor 1")
        return text == "1"
    if isinstance(default, (int, float)):
        return type(default)(text)
    return text
