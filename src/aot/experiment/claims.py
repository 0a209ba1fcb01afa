"""Claims about the method and whether the numbers support them: the order in the published table, and our own goals.

Every claim is looked at in the mean over seeds (with its 95 % interval where it is about a difference) and in each seed
alone, over the seeds that measured all that it speaks of. What was not measured is no claim. *Ours.*
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from aot.experiment.results import SeedResult
from aot.experiment.settings import PIXEL_VARIANT, ExperimentSettings
from aot.experiment.statistics import Of, deceived, difference, measured, of_columns, over_seeds, paired
from aot.scores.intervals import ROUNDING

Json = dict[str, Any]
ERROR_CUT, CLEAN_LOSS, GAIN_KEPT = 0.85, 0.005, 0.9


@dataclass(frozen=True)
class Claims:
    """Those about one variant of the method."""

    settings: ExperimentSettings
    results: Sequence[SeedResult]
    variant: str

    @property
    def iterations(self) -> list[str]:
        return [f"{self.variant}/iteration_{i}" for i in range(1, self.settings.recipe.iterations + 1)]

    @property
    def rivals(self) -> list[str]:
        """The baselines."""
        return [name for name in self.settings.names() if "/" not in name and name != "base"]

    @property
    def worst(self) -> Of:
        return of_columns("clean", *self.settings.semantic)

    def found(self) -> list[Json]:
        """Each a `claim`, whether it `holds`, in how many seeds (`in_seeds`) of how many, and the numbers behind it."""
        every = [
            self.rising(),
            self.error_cut(),
            self.ahead(self.worst, "ahead of every baseline in the worst case (95 %)", 1),
            self.ahead(deceived, "a fresh attacker deceives it less often than every baseline (95 %)", -1),
            self.left_out_ahead(),
            self.no_family_worse(),
            self.clean_kept(),
            self.both_gains_kept(),
        ]
        return [claim for claim in every if claim]

    def rising(self) -> Json | None:
        order = ["base", "clean_rl", *self.iterations]
        values = self._spreads(self.worst, order)
        if not values:
            return None
        means = np.array([value["mean"] for value in values])
        seeds = zip(*(value["seeds"] for value in values), strict=True)
        steps = [all(one < other for one, other in pairwise(each)) for each in seeds]
        said = "the worst case rises: base < RL on clean scenes < every next iteration"
        numbers = dict(zip(order, means.tolist(), strict=True))
        return self._claim(said, bool((np.diff(means) > ROUNDING).all()), steps, numbers)

    def error_cut(self) -> Json | None:
        values = self._spreads(self.worst, ["base", self.iterations[-1]])
        if not values:
            return None
        pairs = zip(*(value["seeds"] for value in values), strict=True)
        cuts = [1 - (1 - after) / (1 - before) if before < 1 else 0.0 for before, after in pairs]
        enough = [cut >= ERROR_CUT - ROUNDING for cut in cuts]
        said = f"the worst-case error is cut by {100 * ERROR_CUT:.0f} % or more against base, in every seed"
        return self._claim(said, all(enough), enough, {"cut": float(np.mean(cuts))})

    def ahead(self, of: Of, said: str, sign: int) -> Json | None:
        """`sign`: 1 where a larger value is better, -1 where a smaller one is."""
        known = self._differences({name: (of, name) for name in self.rivals})
        if not known:
            return None
        holds = all(min(sign * end for end in each["ci"] or each["bootstrap"]) > 0 for each in known.values())
        closest = min(known, key=lambda name: sign * known[name]["mean"])
        in_seeds = [all(sign * value > 0 for value in seed) for seed in _by_seed(known)]
        return self._claim(said, holds, in_seeds, {f"against {closest}": known[closest]["mean"]})

    def left_out_ahead(self) -> Json | None:
        """Of families of which training saw nothing, not even in a composition."""
        of = of_columns("clean", *self.settings.left_out)
        found = difference(self.results, self.iterations[-1], "base", of) if self.settings.left_out else None
        if not found:
            return None
        said = "ahead of base in the worst case of families left out of training (95 %)"
        ahead = [value > 0 for value in found["seeds"]]
        return self._claim(said, min(found["ci"] or found["bootstrap"]) > 0, ahead, {"points": found["mean"]})

    def no_family_worse(self) -> Json | None:
        known = self._differences({f: (of_columns("clean", f), "base") for f in self.settings.measure.families})
        if not known:
            return None
        below = [family for family, each in known.items() if max(each["ci"] or each["bootstrap"]) < 0]
        worse = {f"points under {family}": known[family]["mean"] for family in below}
        in_seeds = [min(seed) >= 0 for seed in _by_seed(known)]
        return self._claim("no family is worse than base (95 %)", not worse, in_seeds, worse)

    def clean_kept(self) -> Json | None:
        found = difference(self.results, self.iterations[-1], "base", of_columns("clean"))
        if not found:
            return None
        least = -CLEAN_LOSS - ROUNDING
        kept = [value >= least for value in found["seeds"]]
        said = f"clean accuracy is at most {100 * CLEAN_LOSS:g} points below base"
        return self._claim(said, found["mean"] >= least, kept, {"points": found["mean"]})

    def both_gains_kept(self) -> Json | None:
        """Of the game with a share of PGD: the gain over base of the first variant in the worst case, and that of PGD
        training under PGD of the largest eps that both have."""
        first, both = self.settings.variants[0], sorted({*self.settings.pgd_eps} & {*self.settings.measure.eps})
        if self.variant != PIXEL_VARIANT or self.variant == first or not both:
            return None
        pgd, last = f"pgd_{both[-1]}", self.iterations[-1]
        references = {"worst_case": (self.worst, f"{first}/{last.rpartition('/')[2]}")}
        references[pgd] = of_columns(pgd), f"pgd_at_{both[-1]}"
        kept = {}
        for name, (of, reference) in references.items():
            theirs, ours = (difference(self.results, one, "base", of) for one in (reference, last))
            compared = [[paired(r, one, "base", of) is None for r in self.results] for one in (reference, last)]
            if not theirs or not ours or compared[0] != compared[1]:
                return None  # not measured, or not yet in every seed
            gains = zip(ours["seeds"], theirs["seeds"], strict=True)
            kept[name] = [mine / gain if gain > 0 else 0.0 for mine, gain in gains]
        in_seeds = [min(each) >= GAIN_KEPT - ROUNDING for each in zip(*kept.values(), strict=True)]
        said = f"with a share of PGD {100 * GAIN_KEPT:.0f} % of both gains are kept, in the worst case and under PGD"
        return self._claim(said, all(in_seeds), in_seeds, {name: float(np.mean(each)) for name, each in kept.items()})

    def _spreads(self, of: Of, names: Sequence[str]) -> list[Json]:
        """Of each of these defenders, over the seeds that measured all of them; none where no seed did."""
        results = [r for r in self.results if all(measured(r, name, of) is not None for name in names)]
        return [found for name in names if (found := over_seeds(results, name, of))]

    def _differences(self, others: Mapping[str, tuple[Of, str]]) -> dict[str, Json]:
        """By what others are called: the last iteration minus each of them, over the seeds that measured all; none
        where no seed did."""
        last = self.iterations[-1]
        results = [r for r in self.results if all(paired(r, last, n, of) is not None for of, n in others.values())]
        compared = {called: difference(results, last, name, of) for called, (of, name) in others.items()}
        return {called: found for called, found in compared.items() if found}

    def _claim(self, said: str, holds: bool, in_seeds: Sequence[bool], numbers: Json) -> Json:
        counted = {"in_seeds": sum(in_seeds), "of_seeds": len(in_seeds)}
        return {"variant": self.variant, "claim": said, "holds": holds, **counted, "numbers": numbers}


def _by_seed(known: Mapping[str, Json]) -> list[tuple[float, ...]]:
    """The differences of each seed."""
    return list(zip(*(each["seeds"] for each in known.values()), strict=True))
