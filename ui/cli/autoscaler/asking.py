"""The flags that the commands about autoscalers share, and the scenario that they make."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scenarios.load import Loaded
from scenarios.scaling_subject import Subject, from_files, own
from simulator.errors import InputError, suggestion
from simulator.figures.clairvoyant import Yardstick, budget, clairvoyant
from ui.cli.commands import load_scenario, resolve
from ui.cli.output import talk

Manifests = Annotated[
    list[str] | None,
    typer.Option(
        "-f", "--file", metavar="FILE", help="Manifests: a file, a folder, or - for stdin. Repeatable. Unless given, "
        "the scenario's own autoscaler."
    ),
]  # fmt: skip
Pool = Annotated[str | None, typer.Option("--pool", metavar="NAME", help="The pool to scale, if there are several.")]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Which autoscaler of the manifests, if there are several.")
]
Bindings = Annotated[
    list[str] | None,
    typer.Option("--bind", metavar="METRIC=SIGNAL", help="What a metric of the manifest measures. Repeatable."),
]
Trace = Annotated[
    str | None, typer.Option("--trace", metavar="FILE", help="Replay these arrivals instead of the scenario's.")
]

Tries = Annotated[
    int | None,
    typer.Option(
        "--yardstick",
        metavar="N",
        min=0,
        max=10_000,
        help="Simulations to look for the cheapest schedule with, of somebody who knows the arrivals; 0: look for "
        "none. Unless given, by the size of the run.",
    ),
]


class Form(StrEnum):
    """How a validation is written on stdout."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"
    HTML = "html"
    MD = "md"


@dataclass(frozen=True)
class Asked:
    """What the flags say of the scenario."""

    source: str
    settings: list[str] | None
    slo: list[str] | None
    replications: int | None
    precision: str | None
    seed: int | None
    until: str | None
    plugin: list[str] | None
    pool: str | None
    trace: str | None
    quiet: bool

    def subject(self, files: Sequence[str] | None, name: str | None, bindings: Sequence[str] | None) -> Subject:
        """The scenario with the autoscaler of manifests, or with its own; remarks go to stderr."""
        loaded = self._load(self.settings)
        if self.trace is not None:
            workloads = loaded.scenario.workloads
            if len(workloads) > 1:
                wrong = "replaces the arrivals of one workload, and the scenario has several"
                fix = "write such as --set workloads.NAME.arrivals='{kind: trace, file: FILE}'"
                raise InputError(wrong, path="--trace", fix=f"{fix}; {suggestion('', workloads)}")
            arrivals = json.dumps({"kind": "trace", "file": str(Path(self.trace).resolve())})
            changes = [f"workloads.{next(iter(workloads))}.arrivals={arrivals}"]
            changes += [] if self.until is not None else ["run.duration=null"]
            loaded = self._load([*(self.settings or ()), *changes])
        if files:
            found = from_files(loaded, files, parse_bindings(bindings), name, self.pool)
        elif bindings or name:
            raise InputError("is of manifests", path="--bind" if bindings else "--name", fix="give them with -f FILE")
        else:
            found = own(loaded, self.pool)
        for remark in found.remarks:
            talk(remark, self.quiet)
        resolve(found.loaded, self.quiet)
        return found

    def _load(self, settings: list[str] | None) -> Loaded:
        return load_scenario(
            self.source, settings, self.slo, self.replications, self.precision, self.seed, self.until, self.plugin
        )


def look_for_yardstick(
    subject: Subject, tries: int | None, replications: int, jobs: int, bar: Callable[[str, int, int], None], quiet: bool
) -> Yardstick:
    """The cheapest schedule for the load of a subject, for as many replications as were simulated."""
    case = replace(subject.loaded.case(), replications=replications)
    spent = budget(case) if tries is None else tries
    if not spent and tries is None and case.slos:
        talk("the run is too long to look for the cheapest schedule in passing: ask for it, as --yardstick 20", quiet)
    return clairvoyant(case, subject.number, spent, jobs, bar)


def parse_bindings(texts: Sequence[str] | None) -> dict[str, str]:
    """What each metric measures, by its name. Raises InputError."""
    found: dict[str, str] = {}
    for text in texts or ():
        metric, equals, signal = text.rpartition("=")  # the name of a metric may hold selectors
        if not equals or not metric.strip() or not signal.strip():
            raise InputError(f"{text!r} is not a binding", path="--bind", fix="write such as --bind queue_length=queue")
        if metric.strip() in found:
            raise InputError(f"{metric.strip()!r} is bound twice", path="--bind", fix="bind each metric once")
        found[metric.strip()] = signal.strip()
    return found
