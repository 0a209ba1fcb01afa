"""The referee for each rule and for each family, and how often a family has a fair attack (*ours*)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aot.attacks.base.composition import ComposedAttack, between
from aot.attacks.base.family import Family, NoAttack, Rule, draw
from aot.attacks.judging.checks import KnownAnswer, KnownArea, NormBound, NotNamed
from aot.forge.photo_edits.checks import AnswerKept
from aot.game.referee import (
    Check,
    GlobalSsim,
    LocalSsim,
    Overlap,
    Referee,
    RefereeLike,
    RefereeSettings,
    build_referee,
)
from aot.types import Attack, Finding, Scene, Verdict
from aot.world.preserved import world_referee

CORRUPTION_SSIM_MIN = 0.4
"""Below this global SSIM a corrupted image cannot be asked about; *ours*."""


@dataclass(frozen=True)
class ComposedReferee(Referee):
    """Holds the edit of a `ComposedAttack` to its own rule, and the change after it to that of its own, seen from the
    edited image. Any other attack is refused (no_edit)."""

    rules: Mapping[Rule, Referee] = field(default_factory=dict)

    def judge(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Verdict]:
        verdicts = [Verdict((Finding("composed", False, float("nan"), "no_edit"),))] * len(attacks)
        pairs = {i: a for i, a in enumerate(attacks) if isinstance(a, ComposedAttack) and a.edited is not None}
        edited = {i: attack.edited for i, attack in pairs.items() if attack.edited is not None}
        firsts = self._by_rule({i: (a.edit_rule, scenes[i], edited[i]) for i, a in pairs.items()})
        seconds = self._by_rule({i: (a.change_rule, between(scenes[i], edited[i]), a) for i, a in pairs.items()})
        for i in pairs:
            verdicts[i] = Verdict((*firsts[i].findings, *seconds[i].findings))
        return verdicts

    def _by_rule(self, parts: Mapping[int, tuple[Rule, Scene, Attack]]) -> dict[int, Verdict]:
        """The verdict on each attack by the rule that is named with it; attacks of one rule are judged together."""
        verdicts: dict[int, Verdict] = {}
        for rule in dict.fromkeys(rule for rule, _, _ in parts.values()):
            own = {i: (scene, attack) for i, (its, scene, attack) in parts.items() if its == rule}
            judged = self.rules[rule].judge([s for s, _ in own.values()], [a for _, a in own.values()])
            verdicts |= zip(own, judged, strict=True)
        return verdicts


@dataclass(frozen=True)
class Possible(Referee):
    """Refuses a `NoAttack` for its own reason, and leaves every other attack to `rule`."""

    rule: Referee = field(default_factory=lambda: Referee(()))

    def judge(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Verdict]:
        verdicts = self.rule.judge(scenes, attacks)
        for n, attack in enumerate(attacks):
            if isinstance(attack, NoAttack):
                verdicts[n] = Verdict((Finding("possible", False, float("nan"), attack.reason),))
        return verdicts


def referees(
    settings: RefereeSettings,
    *,
    photos: bool,
    corruption_ssim_min: float = CORRUPTION_SSIM_MIN,
    norm: Check | float = 8.0,
) -> dict[Rule, Referee]:
    """Who judges attacks of each rule, on photos or on scenes of the miniature world. `norm`: the largest change of a
    value in levels of 255, or a check of another bound, which sees to the size of images itself."""
    s = settings
    beside = build_referee(s)
    in_photos: list[Check] = [AnswerKept(), NotNamed()]
    # Without the global rule for scenes without boxes: their answer is worked out again, and that is what it stands in
    # for. Another background would never pass it.
    known: list[Check] = [
        LocalSsim(s.local_ssim_min, s.window_px),
        Overlap(s.overlap_max, s.visible_levels),
        KnownArea(s.area_min, s.area_max, s.visible_levels),
    ]
    alone: dict[Rule, Referee] = {
        "objects": Referee([*beside.checks, *in_photos]) if photos else world_referee(s),
        "known": Referee([*known, *(in_photos if photos else [KnownAnswer()])]),
        "paint": beside,
        "corruption": Referee([GlobalSsim(corruption_ssim_min, s.window_px)]),
        "viewpoint": Referee([AnswerKept() if photos else KnownAnswer()]),
        "norm": Referee([norm], any_size=True) if callable(norm) else Referee([NormBound(norm)]),
    }
    found = {**alone, "composed": ComposedReferee((), rules=alone)}
    return {rule: Possible((), referee) for rule, referee in found.items()} if photos else found


class FamilyReferee:
    """Judges each attack by the rule of the family that made it, those of other attackers by `others`."""

    def __init__(self, families: Sequence[Family], rules: Mapping[Rule, Referee], others: RefereeLike):
        self.by_name: dict[str, RefereeLike] = {family.name: rules[family.rule] for family in families}
        self.others = others

    def judge(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Verdict]:
        """As `Referee.judge`."""
        verdicts: dict[int, Verdict] = {}
        of = [self.by_name.get(attack.attacker, self.others) for attack in attacks]
        for referee in {id(one): one for one in of}.values():
            own = [i for i, one in enumerate(of) if one is referee]
            verdicts |= zip(own, referee.judge([scenes[i] for i in own], [attacks[i] for i in own]), strict=True)
        return [verdicts[i] for i in range(len(attacks))]


Reasons = dict[str, int]
"""Questions by what became of a draw: "" where there is a fair attack, else why there is none."""


def possible(family: Family, scenes: Sequence[Scene], rules: Mapping[Rule, Referee]) -> Reasons:
    """Of the first draw on each scene."""
    found: Counter[str] = Counter()
    for scene in scenes:
        made = draw(family, scene, 0, 0)
        if isinstance(made, str):
            found[made] += 1
        else:
            (verdict,) = rules[family.rule].judge([scene], [made])
            found["" if verdict.valid else verdict.refused_by[0]] += 1
    return dict(found.most_common())


def possible_line(name: str, reasons: Mapping[str, int], what: str = "questions") -> str:
    """As "scale: 29 of 157 questions (nothing_to_scale 122, no_place 6)"."""
    made, of = reasons.get("", 0), sum(reasons.values())
    why = ", ".join(f"{reason} {n}" for reason, n in _by_number(reasons.items()) if reason)
    return f"{name}: {made} of {of} {what}" + (f" ({why})" if why else "")


def _by_number(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counts, key=lambda each: (-each[1], each[0]))
