"""Text for the page."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!$~|<>:])")


def plain(text: str) -> str:
    """Text that Streamlit shows as it stands: nothing in it is Markdown, so `$8` is no formula."""
    return _MARKUP.sub(r"\\\1", text)


def headed(words: str) -> str:
    """Words at the start of a line, in sentence case; `p99` stays as it is."""
    return words if words[1:2].isdigit() else f"{words[:1].upper()}{words[1:]}"
