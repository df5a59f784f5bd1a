"""Whether a profile is what it says: its id, its samples, and the same when it is fitted again.

On the kind of processor that fitted it these are the same bytes. Another may add up in another order: a fit that is
found step by step can then end a step earlier or later, which moves its figures a little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path

from calibration.files import read_whole, sha256
from calibration.fitting.recipe import fit
from calibration.profile import Profile, load_profile, profile_text
from simulator.errors import InputError

AS_GOOD_AS_SAME = 0.01
"""Share of a figure by which another kind of processor may find another."""


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


def distance(one: object, other: object) -> float:
    """By which share of the larger two documents of a profile differ in any figure; infinite where it is no figure.

    Their ids, which follow from the rest, do not count.
    """
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max((distance(one[key], other[key]) for key in one if key != "profile_id"), default=0.0)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return max(map(distance, one, other), default=0.0)
    if isinstance(one, float) and isinstance(other, float) and one != other:
        return abs(one - other) / max(abs(one), abs(other))
    return 0.0 if one == other else inf


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
    apart = distance(again.model_dump(mode="json"), profile.model_dump(mode="json"))
    if apart < AS_GOOD_AS_SAME:
        return Step("fitted again", True, f"the same to within {apart:.2%}: another kind of processor fitted it")
    other = [name for name in type(profile).model_fields if getattr(again, name) != getattr(profile, name)]
    parts = ", ".join(name for name in other if name != "profile_id") or "the text"
    return Step("fitted again", False, f"differs in {parts}, with the recipe of this release: {again.fit.recipe!r}")
