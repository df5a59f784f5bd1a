"""Profiles of what was not measured, derived from those of what was: each by a rule, with the band it is believed in.

The band becomes refits: a derived profile is simulated over its band as a measured one is over its resamples. Every
change is listed in `derivation`, and the level is `derived` from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.band import band
from calibration.profile import Profile
from calibration.records import Base, Cell, Change, Fit, Jitter, Refits
from calibration.tables import FREE, shape
from calibration.terms import relative_nnls
from simulator.errors import InputError
from simulator.streams import Floats

KEPT = 24
"""Refits of a derived profile."""
_STRIDE = 7
"""Of the steps through the band, so that they go with no order of the base's own refits."""


Point = tuple[int, int, float, Floats]
"""Batch size, threads, time, and that of each refit over it."""


@dataclass(frozen=True)
class Ratio:
    """A fact of two machines, such as a memory bandwidth, in any unit."""

    name: str
    before: float
    after: float

    @property
    def value(self) -> float:
        """How many times faster the new machine is."""
        return self.after / self.before if self.before else float("nan")

    def __str__(self) -> str:
        return f"{self.name} {self.before:g} to {self.after:g}"


def roofline(base: Profile, bandwidth: Ratio, flops: Ratio, name: str, source: str) -> Profile:
    """The same model on a machine of other memory bandwidth and arithmetic.

    What every batch pays (such as reading the weights) goes by bandwidth, and what each request adds by arithmetic
    (Williams, Waterman and Patterson 2009); the truth is taken to lie between all by the one and all by the other.
    """
    _batches_only(base)
    for ratio in (bandwidth, flops):
        if not (np.isfinite(ratio.value) and ratio.value > 0):
            raise InputError(f"{ratio} is no ratio of two speeds", path=ratio.name, fix="give two numbers above 0")
    batches = np.array([cell.at["batch"] for cell in base.cells], dtype=np.float64)
    law, _ = relative_nnls(np.stack([np.ones(len(batches)), batches], axis=1), _times(base))
    share = law[0] / np.maximum(law[0] + law[1] * batches, 1e-300)
    factors = share / bandwidth.value + (1 - share) / flops.value
    low, high = sorted((1 / bandwidth.value, 1 / flops.value))
    change = _change(f"{bandwidth}; {flops}", "roofline", factors, (low, high), source)
    return _scaled(base, name, factors, np.geomspace(low, high, KEPT), change)


def tensor_parallel(base: Profile, gpus: int, efficiency: tuple[float, float], name: str, source: str) -> Profile:
    """The same model split over so many GPUs, each further one adding a share of a whole one to the speed."""
    _batches_only(base)
    low, high = efficiency
    if gpus < 2:
        raise InputError(f"{gpus} is no number of GPUs to split over", path="gpus", fix="choose 2 or more")
    if not 0 <= low <= high <= 1:
        raise InputError(f"{low:g} to {high:g} is no efficiency", path="efficiency", fix="choose two shares, 0 to 1")
    slow, fast = (1 / (1 + (gpus - 1) * share) for share in (low, high))
    middle = 1 / (1 + (gpus - 1) * (low + high) / 2)
    factors = np.full(len(base.cells), middle)
    what = f"one GPU to {gpus}, each further one worth {low:g} to {high:g} of it"
    change = _change(what, "tensor parallel", factors, (fast, slow), source)
    return _scaled(base, name, factors, np.geomspace(fast, slow, KEPT), change)


def amdahl(bases: Sequence[Profile], threads: int, name: str, source: str) -> Profile:
    """The same model on so many threads: time = serial + parallel / threads (Amdahl 1967), for each batch size.

    `bases` are profiles of the model on different numbers of threads, or one with a threads axis.
    """
    if threads < 1:
        raise InputError(f"{threads} is no number of threads", path="threads", fix="choose 1 or more")
    points = [point for profile in bases for point in _by_threads(profile)]
    counts = sorted({count for _, count, _, _ in points})
    if len(counts) < 2:
        raise InputError("Amdahl's law needs two numbers of threads", fix="name a profile of the model on another one")
    batches = sorted(set.intersection(*({batch for batch, count, _, _ in points if count == one} for one in counts)))
    if not batches or batches[0] != 1:
        raise InputError("the profiles have no batch size of 1 in common", fix="measure the same batch sizes")
    laws = [_of_threads([point for point in points if point[0] == batch], threads) for batch in batches]
    factors, spread = np.array([factor for _, factor, _ in laws]), np.array([refits for _, _, refits in laws])
    band = factors[:, np.newaxis] * spread
    what = f"{' and '.join(map(str, counts))} threads to {threads}"
    change = _change(what, "Amdahl", factors, (float(band.min()), float(band.max())), source)
    cells = tuple(Cell(at={"batch": batch}, base_ns=time) for batch, (time, _, _) in zip(batches, laws, strict=True))
    # The jitter is that of the most threads that were measured.
    whole = max(bases, key=lambda profile: max(count for _, count, _, _ in _by_threads(profile)))
    ratios = [
        row
        for cell, row in zip(whole.cells, whole.fit.jitter.ratios, strict=True)
        if cell.at["batch"] in batches and cell.at.get("threads", counts[-1]) == counts[-1]
    ]
    moved = np.repeat(spread.T[:, :, np.newaxis], 3, axis=2)
    return _derived(whole, name, cells, ratios, moved, change, Base(form="table"))


def _of_threads(points: list[Point], threads: int) -> tuple[int, float, Floats]:
    """Time of one batch size on so many threads, over that on the most that were measured; its refits over it."""
    ordered = sorted(points, key=lambda point: point[1])
    cores = np.array([count for _, count, _, _ in ordered], dtype=np.float64)
    times = np.array([time for _, _, time, _ in ordered])
    moved = np.array([ratios for _, _, _, ratios in ordered])
    found = _on(threads, cores, times)
    refits = np.array([_on(threads, cores, times * moved[:, place]) for place in range(KEPT)])
    return max(1, round(found)), found / float(times[-1]), refits / found


def _by_threads(profile: Profile) -> list[Point]:
    """Every cell."""
    if "batch" not in profile.axes or set(profile.axes) - {"batch", "threads"}:
        problem = f"lies on the axes {', '.join(profile.axes)}, not on batch or on batch and threads"
        raise InputError(f"{profile.name!r} {problem}", fix="name profiles over batch sizes")
    if "threads" not in profile.axes and profile.environment is None:
        raise InputError(f"{profile.name!r} does not say on how many threads", fix="name measured profiles")
    own = profile.environment.threads if profile.environment else 0
    moved = _moved(profile)
    return [
        (cell.at["batch"], cell.at.get("threads", own), float(cell.base_ns), moved[:, place, 0])
        for place, cell in enumerate(profile.cells)
    ]


def _on(threads: int, cores: Floats, times: Floats) -> float:
    law, _ = relative_nnls(np.stack([np.ones(len(cores)), 1 / cores], axis=1), times)
    return float(law[0] + law[1] / threads)


def beyond(base: Profile, batch: int, name: str, source: str, allow: bool = False) -> Profile:
    """The same profile with one more cell, of a larger batch than was measured.

    The base goes on by its own law from the largest cell, in a band (calibration.band); the jitter is that of the
    largest cell.
    """
    _batches_only(base)
    last = base.cells[-1]
    times = batch / last.at["batch"]
    if times <= 1:
        problem = f"{batch} is not beyond the {last.at['batch']} that {base.name!r} knows"
        raise InputError(problem, path="batch", fix="choose a larger one")
    if times > FREE and not allow:
        problem = f"{batch} is more than {FREE:g} times the largest batch of {base.name!r}, {last.at['batch']}"
        raise InputError(problem, path="batch", fix="measure it, or allow extrapolation and mark what comes of it")
    if not base.fit.base.terms:
        raise InputError(f"{base.name!r} has no law to go on by", fix="fit it again from its samples")
    at = shape(base.fit.base, {"batch": np.array([last.at["batch"], batch], dtype=np.float64)})
    batches = np.array([cell.at["batch"] for cell in base.cells], dtype=np.float64)
    wide = float(band(base.fit.base, batches, _times(base), np.array([times]))[0])
    cell = Cell(at={"batch": batch}, base_ns=max(1, round(last.base_ns * at[1] / at[0])))
    cells = (*(Cell(at=one.at, base_ns=one.base_ns) for one in base.cells), cell)
    moved = np.concatenate([_moved(base), _moved(base)[:, -1:] * _walk(np.linspace(1 - wide, 1 + wide, KEPT))], axis=1)
    ratios = (*base.fit.jitter.ratios, base.fit.jitter.ratios[-1])
    factor = float(cell.base_ns / last.base_ns)
    what = f"largest batch {last.at['batch']} to {batch}"
    rule = f"extrapolation of the base ({' + '.join(base.fit.base.terms)})"
    change = _change(what, rule, np.array([factor]), (factor * (1 - wide), factor * (1 + wide)), source)
    return _derived(base, name, cells, ratios, moved, change, base.fit.base)


def _batches_only(profile: Profile) -> None:
    if profile.axes != ("batch",):
        problem = f"{profile.name!r} lies on the axes {', '.join(profile.axes)}"
        raise InputError(problem, fix="name a profile over batch sizes alone")


def _times(profile: Profile) -> Floats:
    return np.array([cell.base_ns for cell in profile.cells], dtype=np.float64)


def _moved(profile: Profile) -> Floats:
    """Ratios by refit, cell and quantile; of a profile without refits ones."""
    refits = profile.fit.refits
    if refits is None:
        return np.ones((KEPT, len(profile.cells), 3))
    return np.array(refits.ratios)[np.arange(KEPT) % len(refits.ratios)]


def _walk(band: Floats) -> Floats:
    """The steps of a band in an order of their own, one a refit."""
    return band[np.arange(KEPT) * _STRIDE % KEPT][:, np.newaxis, np.newaxis]


def _change(what: str, rule: str, factors: Floats, band: tuple[float, float], source: str) -> Change:
    middle = float(np.exp(np.log(factors).mean()))
    numbers = [float(f"{value:.6g}") for value in (middle, *band)]
    return Change(what=what, rule=rule, factor=numbers[0], low=numbers[1], high=numbers[2], source=source)


def _scaled(base: Profile, name: str, factors: Floats, band: Floats, change: Change) -> Profile:
    """Every cell times its factor; the refits go through the band."""
    cells = tuple(
        Cell(at=cell.at, base_ns=max(1, round(cell.base_ns * factor)))
        for cell, factor in zip(base.cells, factors.tolist(), strict=True)
    )
    moved = _moved(base) * _walk(band) / factors[np.newaxis, :, np.newaxis]
    return _derived(base, name, cells, base.fit.jitter.ratios, moved, change, Base(form="table"))


def _derived(
    base: Profile,
    name: str,
    cells: tuple[Cell, ...],
    ratios: Sequence[tuple[float, ...]],
    moved: Floats,
    change: Change,
    law: Base,
) -> Profile:
    refits = Refits(design=f"{change.rule}: the band of {change.what}", seed=0, ratios=np.round(moved, 5).tolist())
    jitter = Jitter(form=base.fit.jitter.form, levels=base.fit.jitter.levels, ratios=tuple(ratios))
    told = f"Derived, not measured: {change.what} by {change.rule}, times {change.factor:.3g}, "
    told += f"believed between {change.low:.3g} and {change.high:.3g}."
    return Profile.build(
        name=name,
        parent_id=base.profile_id,
        level="derived",
        status=base.status,
        subject=base.subject,
        source=base.source,
        derivation=(*base.derivation, change),
        cells=cells,
        fit=Fit(recipe=f"derived by {change.rule}", clock=base.fit.clock, base=law, jitter=jitter, refits=refits),
        limits=(told, *(f"Of {base.name}: {limit}" for limit in base.limits)),
    )
