"""What is noticed of a manifest without a load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing to look at."""

    level: Level
    code: str
    """The name of the rule."""
    source: str
    path: str
    text: str
    """What is wrong, why, and the fix."""
