"""What a scenario names: traces and profiles, found, read once, and held against what is asked of them."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

from calibration.llm.layers import Experts, layer_table
from calibration.llm.profiles import StepsAsked, at_end, beyond_steps, steps_of
from calibration.profile import Profile, find_profile, in_words, load_profile
from calibration.tables import FREE, Beyond, End, Wanted, beyond
from scenarios.amounts import Asked
from scenarios.manifests import Document, bind, read
from scenarios.traces import read_trace
from simulator import service
from simulator.autoscaling import Autoscaler, Manifest
from simulator.errors import InputError
from simulator.llm.layers import all_reduces
from simulator.llm.service import LayerSteps, LlmLayers
from simulator.service import Law
from simulator.sources import Only, Recorded
from simulator.speed import Markov, Profiled, SpeedLaw, SpeedStep, State
from simulator.speed import Recorded as Course


class Files:
    """Looks up what a scenario names, beside the scenario and then from where the command runs; reads it once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refit: int | None = None
        """Which refit of the profiles is read; None: the fit."""
        self.end: End = 0
        """Which end of the band is read beyond what was measured; 0: the law."""
        self.farther: set[str] = set()
        """The profiles that are read beyond what was measured."""
        self.remarks: dict[str, None] = {}
        """What was noticed on the way and the user should know, each once, in order."""
        self.profiles: dict[str, Profile] = {}
        """Those read so far, by what the scenarios call them."""
        self._manifests: dict[str, tuple[Document, ...]] = {}
        self._traces: dict[tuple[str, str, str | None, Only, str | None], Recorded] = {}
        self._layers: dict[LlmLayers, Law] = {}

    def refitted(self, number: int) -> Files:
        """The same files, but that a refit of each profile is read where it has any."""
        found = copy(self)  # what was read is shared
        found.refit, found.remarks = number, {}
        return found

    def at_end(self, end: End) -> Files:
        """The same files, but that an end of the band is read wherever a profile is asked beyond what was measured."""
        found = copy(self)
        found.end, found.farther, found.remarks = end, set(), {}
        return found

    def trace(
        self,
        file: str,
        format: str,  # noqa: A002 - the word users write
        column: str | None = None,
        only: Only = (),
        session: str | None = None,
    ) -> Recorded:
        """The requests of a trace file."""
        key = (file, format, column, only, session)
        if key not in self._traces:
            self._traces[key] = read_trace(self.path(file), format, column, only, session)
        return self._traces[key]

    def profile(self, wanted: service.Profile) -> Law:
        """Service times of a profile, for batches of one."""
        return self.asked(Asked()).profile(wanted)

    def layers(self, wanted: LlmLayers) -> Law:
        """Steps of an LLM engine whose layers were measured."""
        if wanted not in self._layers:
            self._layers[wanted] = _layer_steps(self.path(wanted.file), wanted)
        return self._layers[wanted]

    def interference(self, speed: Profiled) -> SpeedLaw:
        """The speed of the host that a profile was measured on."""
        found = self.opened(speed.profile).fit.interference
        if found is None:
            problem = f"{speed.profile!r} has recorded no interference"
            raise InputError(problem, path="profile", fix="name a profile that was fitted to sessions of one's own")
        with in_words():
            if speed.form == "trace":
                steps = [SpeedStep.model_construct(lasts=stay.lasts, speed=stay.speed) for stay in found.course]
                return Course(course=tuple(steps), offset=speed.offset)
            if len(found.states) < 2:
                problem = f"{speed.profile!r} tells no states of its host"
                raise InputError(problem, path="form", fix="write form: trace")
            return Markov(states=tuple(State.model_construct(mean=s.lasts, speed=s.speed) for s in found.states))

    def autoscaler(self, manifest: Manifest) -> Autoscaler:
        """The autoscaler of a manifest."""
        if manifest.file not in self._manifests:
            self._manifests[manifest.file] = read([self.path(manifest.file)])
        bound = bind(self._manifests[manifest.file], manifest.bind, manifest.name)
        for remark in bound.remarks:
            self.remarks[f"{bound.source}: {remark}"] = None
        return bound.autoscaler

    def asked(self, asked: Asked) -> AskedFiles:
        """The same files, for a stage of which this is asked."""
        return AskedFiles(self, asked)

    def opened(self, name: str) -> Profile:
        """A profile by its name or file."""
        if name not in self.profiles:
            beside = self.folder / name
            self.profiles[name] = load_profile(beside if beside.is_file() else find_profile(name))
        return self.profiles[name]

    def path(self, file: str) -> Path:
        """Where a file that the scenario names lies."""
        beside = self.folder / file
        return beside if beside.exists() else Path(file)


@dataclass(frozen=True)
class AskedFiles:
    """Files as one stage reads them: its profiles must reach as far as its batches and sizes do."""

    files: Files
    asked: Asked

    def trace(
        self,
        file: str,
        format: str,  # noqa: A002 - the word users write
        column: str | None = None,
        only: Only = (),
        session: str | None = None,
    ) -> Recorded:
        """The requests of a trace file."""
        return self.files.trace(file, format, column, only, session)

    def autoscaler(self, manifest: Manifest) -> Autoscaler:
        """The autoscaler of a manifest."""
        return self.files.autoscaler(manifest)

    def layers(self, wanted: LlmLayers) -> Law:
        """Steps of an LLM engine whose layers were measured."""
        return self.files.layers(wanted)

    def interference(self, speed: Profiled) -> SpeedLaw:
        """The speed of the host that a profile was measured on."""
        return self.files.interference(speed)

    def profile(self, wanted: service.Profile) -> Law:
        """Service times of a profile, a little beyond what was measured where need be. Raises InputError."""
        profile = self.files.opened(wanted.profile)
        self._check_status(profile, wanted)
        if self.asked.steps is not None:
            return self._steps(profile, wanted, self.asked.steps)
        asks = Wanted(
            at={} if wanted.threads is None else {"threads": wanted.threads},
            size=wanted.size,
            batch=self.asked.batch,
            largest=self.asked.sizes.get(wanted.size or "", 0),
            total=self.asked.totals.get(wanted.size or ""),
            end=self.files.end,
        )
        marks = ["rejected"] * (profile.status == "rejected")
        for item in beyond(profile, asks):
            if item.ratio <= FREE or wanted.extrapolate:
                told = f"beyond, its law is taken to go on, give or take {item.band:.0%}"
                self._remark(f"profile {profile.name}: {item.words}: {told}")
                self.files.farther.add(profile.name)
                marks += [f"extrapolated {item.ratio:.1f}x"] * (item.ratio > FREE)
            elif item.axis == "batch" and wanted.size is None:
                asks = replace(asks, batch=1)  # whoever wants larger batches is told where they are asked for
            else:
                raise _too_far(profile, item)
        table = profile.table(self._refit(profile), asks)
        return table.model_copy(update={"level": ", ".join([table.level, *marks])}) if marks else table

    def _steps(self, profile: Profile, wanted: service.Profile, asks: StepsAsked) -> Law:
        """Steps of an LLM engine by the law of a profile. Raises InputError."""
        for name in ("threads", "size"):
            if getattr(wanted, name) is not None:
                raise InputError(f"{profile.name!r} is of steps, which have none", path=name, fix="leave it out")
        law, error = steps_of(profile, self._refit(profile), asks)
        marks = ["rejected"] * (profile.status == "rejected")
        for item in beyond_steps(profile, asks):
            if item.ratio > FREE and not wanted.extrapolate:
                raise _too_far_for_steps(profile, item)
            told = f"beyond, its law is taken to go on, give or take {item.band:.0%}"
            self._remark(f"profile {profile.name}: {item.words}: {told}")
            self.files.farther.add(profile.name)
            law = at_end(law, item, self.files.end)
            marks += [f"extrapolated {item.ratio:.1f}x"] * (item.ratio > FREE)
        if error is not None:
            form = {"sum": "the sum of its parts", "roofline": "the roofline form"}[law.form]
            self._remark(f"profile {profile.name}: steps are {form}, off by {error:.1%} on average where it was fitted")
        return law.model_copy(update={"level": ", ".join([law.level, *marks])})

    def _check_status(self, profile: Profile, wanted: service.Profile) -> None:
        graded = f" (grade {profile.grade} of the host)" if profile.grade else ""
        if profile.status == "rejected" and not wanted.rejected:
            problem = f"{profile.name!r} was rejected when it was fitted{graded}"
            raise InputError(problem, path="profile", fix="measure again, or set rejected: true: it marks every figure")
        if profile.status != "accepted":
            self._remark(f"profile {profile.name} is {profile.status}{graded}: its limits say why")

    def _remark(self, text: str) -> None:
        self.files.remarks[text] = None

    def _refit(self, profile: Profile) -> int | None:
        number, refits = self.files.refit, profile.fit.refits
        return None if number is None or refits is None else number % len(refits.ratios)


def _too_far(profile: Profile, item: Beyond) -> InputError:
    problem = f"{profile.name!r} is asked for {item.words}: more than {FREE:g} times"
    path = "size" if item.axis != "batch" else "profile"
    return InputError(problem, path=path, fix=f"measure a larger {item.axis}, or set extrapolate: true")


def _too_far_for_steps(profile: Profile, item: Beyond) -> InputError:
    problem = f"{profile.name!r} is asked for {item.words}: more than {FREE:g} times"
    lower = {"prefill": "max_num_batched_tokens", "decode": "max_num_seqs"}.get(item.axis, "the sizes of the requests")
    fix = f"lower {lower} to {item.measured}, measure a larger {item.axis}, or set extrapolate: true"
    return InputError(problem, path="profile", fix=fix)


def _layer_steps(meta: Path, wanted: LlmLayers) -> LayerSteps:
    """The steps that the tables beside a file make. Raises InputError."""
    if not meta.is_file():
        raise InputError("no such file", file=meta, fix="name the meta.yaml of LLMServingSim's profiler")
    experts = None if wanted.experts is None else Experts(wanted.experts.count, wanted.experts.taken)
    table, level = layer_table(meta, wanted.layers, wanted.tensor_parallel, experts), "published"
    told: dict[str, float] = {"largest_graph": wanted.largest_graph}
    if (tells := wanted.all_reduce) is not None:
        parts = wanted.layers, wanted.tensor_parallel, tells.token, tells.latency, tells.bandwidth
        told["exchange_ns"], told["exchange_ns_per_token"] = all_reduces(*parts)
        level = "published, all-reduces assumed"
    return LayerSteps(level=level, jitter=wanted.jitter, table=table.model_copy(update=told))
