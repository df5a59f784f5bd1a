"""Splitwise's table of measured prompt and token times (Mutinifni/splitwise-sim). Seen on the genuine file.

Each line is one request batch: `batch_size` prompts of `prompt_size` tokens took `prompt_time` together, and then each
step that gave every one of them a token took `token_time` on average; all times are milliseconds.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from calibration.importers.base import Timings
from calibration.importers.document import MILLISECOND, Document, Row
from calibration.importers.steps import step_profile
from calibration.llm.step import Step
from calibration.profile import Profile
from calibration.records import Source
from calibration.subjects import Subject
from simulator.errors import InputError

_NEEDED = ("model", "hardware", "tensor_parallel", "prompt_size", "batch_size", "token_size")
_TIMES = ("prompt_time", "token_time", "e2e_time")
_FAR = 1.25
"""How many times the sum of its parts an e2e_time may be before the line is taken for wrong."""
_LIMITS = (
    "Figures of the source, not measured again: Splitwise (ISCA 2024), one request batch at a time.",
    "A token time is the mean over the steps of one request batch: the jitter is between repetitions, not steps.",
    "The context of a step is the prompt and half of the tokens that e2e_time had room for: requests that were to give "
    "many tokens mostly ended sooner.",
    "Prompts of several requests at once are in the fit, but no cells where one prompt of as many tokens is.",
)
_CAPPED = (
    "The lines of h100-80gb-pcap are those of h100-80gb with the prompt time times 1.3: worked out by the source, not "
    "measured."
)
Place = tuple[str, str, int]
"""Model, hardware and degree of tensor parallelism."""


@dataclass(frozen=True)
class _Line:
    batch: int
    prompt: int
    asked: int
    prompt_ns: int
    token_ns: int
    whole_ns: int

    def given(self) -> float:
        """Tokens that each request can have given: some ended before the number asked for."""
        return min(self.asked, 1 + (self.whole_ns - self.prompt_ns) / self.token_ns)


class Splitwise(Timings):
    """Splitwise: prompt and token times of LLMs by hardware, tensor parallelism, batch and prompt size."""

    kind: Literal["splitwise"] = "splitwise"

    def recognises(self, document: Document) -> bool:
        """By the columns."""
        return {*_NEEDED, *_TIMES} <= set(document.columns)

    def read(self, document: Document) -> Sequence[Profile]:
        """One profile of LLM steps for each model, hardware and degree of tensor parallelism."""
        return [_profile(document, place, lines) for place, lines in sorted(_groups(document).items())]


def steps(document: Document) -> dict[Place, list[Step]]:
    """The steps of each model, hardware and degree of tensor parallelism. Raises InputError."""
    return {place: list(_steps(_sound(document, place, lines))) for place, lines in _groups(document).items()}


def _groups(document: Document) -> dict[Place, list[_Line]]:
    groups: dict[Place, list[_Line]] = defaultdict(list)
    for row in document.rows((*_NEEDED, *_TIMES)):
        place = (row.at("model").text(), row.at("hardware").text(), row.at("tensor_parallel").count())
        groups[place].append(_line(row))
    return groups


def _sound(document: Document, place: Place, lines: Sequence[_Line]) -> list[_Line]:
    """The lines whose times add up. Raises InputError."""
    sound = [line for line in lines if line.whole_ns <= _FAR * (line.prompt_ns + (line.asked - 1) * line.token_ns)]
    if not sound:
        problem = f"has no line of {place[0]} on {place[1]} at degree {place[2]} whose times add up"
        raise InputError(problem, file=document.path, fix="leave these lines out")
    return sound


def _profile(document: Document, place: Place, lines: Sequence[_Line]) -> Profile:
    model, hardware, degree = place
    sound, limits = _sound(document, place, lines), list(_LIMITS)
    if wrong := sorted({(line.batch, line.prompt) for line in lines if line not in sound}):
        where = ", ".join(f"batch {batch} at {prompt} tokens" for batch, prompt in wrong)
        limits.append(
            f"Left out as anomalous: {len(lines) - len(sound)} lines ({where}), whose e2e_time is more than {_FAR} "
            "times what prompt and token times come to."
        )
    if hardware.endswith("-pcap"):
        limits.append(_CAPPED)
    return step_profile(
        f"{model}-{hardware}-tp{degree}",
        Subject(
            name=model,
            origin="published",
            description="a large language model",
            inputs="prompts of 128 to 8192 tokens",
            dtype="not told by the file",
            mode=f"tensor parallel over {degree} GPUs",
        ),
        Source(
            reference=f"github:Mutinifni/splitwise-sim:data/perf_model.csv, {document.sha256}",
            licence="MIT",
            heading=f"{model}, {hardware}, tensor_parallel {degree}",
            hardware=f"{degree} x {hardware}",
            software="not told by the file",
        ),
        list(_steps(sound)),
        tuple(limits),
    )


def _line(row: Row) -> _Line:
    batch, prompt, asked = (row.at(name).count() for name in ("batch_size", "prompt_size", "token_size"))
    prompt_ns, token_ns, whole_ns = (row.at(name).ns(MILLISECOND) for name in _TIMES)
    if not (batch and prompt and asked and prompt_ns and token_ns):
        raise row.fail("sizes and times must be above 0")
    return _Line(batch, prompt, asked, prompt_ns, token_ns, whole_ns)


def _steps(lines: Sequence[_Line]) -> Iterator[Step]:
    """Of each line the step that took the prompts, and the mean one of those that gave the tokens."""
    given: dict[tuple[int, int, int], list[float]] = defaultdict(list)
    for line in lines:
        given[line.batch, line.prompt, line.asked].append(line.given())
    for line in lines:
        tokens = line.batch * line.prompt
        # Each prompt is compared with itself alone: pairs add up over the prompts.
        yield Step(tokens, 0, 0, tokens * line.prompt // 2, line.prompt_ns, line.batch == 1, line.batch)
        context = line.prompt + round(statistics.median(given[line.batch, line.prompt, line.asked]) / 2)
        yield Step(0, line.batch, context, 0, line.token_ns)
