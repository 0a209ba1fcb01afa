"""The referee of several families: each attack is held to the rule of the family that made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aot.attacks.base import Family, Rule
from aot.game.referee import Judging, Referee
from aot.types import Attack, Scene, Verdict


class FamilyReferee:
    """Judges each attack by the rule of the family that made it, those of other attackers by `others`."""

    def __init__(self, families: Sequence[Family], rules: Mapping[Rule, Referee], others: Judging):
        self.by_name: dict[str, Judging] = {family.name: rules[family.rule] for family in families}
        self.others = others

    def judge(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Verdict]:
        """As `Referee.judge`."""
        verdicts: dict[int, Verdict] = {}
        of = [self.by_name.get(attack.attacker, self.others) for attack in attacks]
        for referee in {id(one): one for one in of}.values():
            own = [i for i, one in enumerate(of) if one is referee]
            verdicts |= zip(own, referee.judge([scenes[i] for i in own], [attacks[i] for i in own]), strict=True)
        return [verdicts[i] for i in range(len(attacks))]
