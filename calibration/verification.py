"""Whether a profile is what it says: its id, its samples, and the same bytes when it is fitted again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from calibration.files import read_whole, sha256
from calibration.fitting.recipe import fit
from calibration.profile import Profile, load_profile, profile_text
from simulator.errors import InputError


@dataclass(frozen=True)
class Step:
    """One thing that was looked at."""

    what: str
    holds: bool
    found: str


def verify(path: Path) -> list[Step]:
    """Everything that can be proved of a profile file; samples are looked for beside it.

    Raises InputError for a file that is no profile, or whose content does not give its id.
    """
    profile = load_profile(path)
    steps = [
        Step("schema and content", True, f"version {profile.schema_version}"),
        Step("id", True, profile.profile_id),
    ]
    if profile.level != "measured":
        return [*steps, Step("origin", True, f"{profile.level}: there are no samples to fit again")]
    steps += _samples(profile, path.parent)
    if all(step.holds for step in steps):
        steps.append(_again(profile, path))
    return steps


def _samples(profile: Profile, folder: Path) -> Iterator[Step]:
    for session in profile.sessions:
        try:
            found = sha256(read_whole(folder / session.file, "samples file"))
        except InputError as error:
            yield Step(session.file, False, error.problem)
            continue
        same = found == session.sha256
        yield Step(
            session.file, same, found if same else f"{found[:19]} is not the {session.sha256[:19]} of the profile"
        )


def _again(profile: Profile, path: Path) -> Step:
    again = fit([path.parent / session.file for session in profile.sessions], profile.name)
    if profile_text(again).encode() == read_whole(path, "profile"):
        return Step("fitted again", True, "the same bytes")
    other = [name for name in type(profile).model_fields if getattr(again, name) != getattr(profile, name)]
    parts = ", ".join(name for name in other if name != "profile_id") or "the text"
    return Step("fitted again", False, f"differs in {parts}, with the recipe of this release: {again.fit.recipe!r}")
