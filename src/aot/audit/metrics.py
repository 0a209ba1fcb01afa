"""From the outcome of every attack to the metrics of `audit.json`: pure, no models and no disk.

Rules: a success needs a scene that was answered rightly when clean, a *fair* attack (one that its referee passed) and
an answer that was read and is wrong. An answer that is unparsed, truncated, refused or failed is neither right nor
wrong: it is counted by status. Every share carries its denominator `n`. The worst case is AutoAttack's (Croce and Hein
2020): a scene stands only if it is right clean and under every fair attack.

Of an attack: `scenes` and `draws` that were tried, `impossible` and `refused_by_referee` (by reason), `fair` draws that
were asked, `integrity` (fair of made), `unverified` (fair edits after which the answer could not be worked out again),
`statuses`, `clean_accuracy`, `attacked_accuracy` and `difference` (the first fair draw that was answered, same scenes),
`worst_draw_accuracy` (of these scenes, right under every fair draw), `success` (of the scenes right when clean),
`success_where_fair` (of those, where a fair draw was answered), `success_by_budget` (by number of draws).

Shares and changes are those of `aot.audit.shares`; where no draw of an attack could be asked, its successes and its
group's worst case have n = 0.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from aot.attacks.base.titles import attack_title
from aot.audit.shares import Json, change, share
from aot.types import AnswerStatus, Question

BUDGETS = (1, 2, 4, 8, 16, 32)
"""Draws of an attack on one scene at which success is stated; method: full denominators, against the query budget."""
Group = Literal["edit", "corruption", "composed", "perturbation"]
GROUPS: tuple[Group, ...] = ("edit", "corruption", "composed", "perturbation")
FRAGILE = 12
"""Questions that are named as those which break most often."""

OutcomeState = Literal["asked", "impossible", "unfair"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one draw of an attack on a scene; `attack` "" is the clean image. `reasons`: why it is impossible,
    or unfair. `right`: None unless answered. `verified`: the answer was worked out again after the edit. `confidence`:
    the probability of the given answer, where it was asked for and the model gives it."""

    scene: str
    attack: str
    draw: int = 0
    state: OutcomeState = "asked"
    reasons: tuple[str, ...] = ()
    status: AnswerStatus | None = None
    right: bool | None = None
    given: str = ""
    said: str = ""
    local_ssim: float | None = None
    verified: bool = False
    confidence: float | None = None

    @property
    def wrong(self) -> bool:
        return self.state == "asked" and self.right is False


@dataclass(frozen=True, slots=True)
class Member:
    """An attack as it is reported."""

    name: str
    group: Group
    about: str = ""


class Tally:
    """All outcomes, by attack and scene. `images`: which image a scene is of; one that is not in it has its own."""

    def __init__(
        self,
        outcomes: Iterable[Outcome],
        questions: Mapping[str, Question],
        panel: Sequence[Member],
        images: Mapping[str, str] | None = None,
    ):
        self.questions, self.panel, self.images = questions, panel, images or {}
        self.clean: dict[str, Outcome] = {}
        self.by_attack: dict[str, dict[str, list[Outcome]]] = {m.name: defaultdict(list) for m in panel}
        for outcome in outcomes:
            if outcome.attack:
                self.by_attack[outcome.attack][outcome.scene].append(outcome)
            else:
                self.clean[outcome.scene] = outcome
        # What could not be asked at all has no success of 0: it has none.
        self.asked = {
            name
            for name, scenes in self.by_attack.items()
            if any(outcome.state == "asked" for outcomes in scenes.values() for outcome in outcomes)
        }

    def share(self, scenes: Iterable[str], hit: Callable[[str], bool]) -> Json:
        """How many of the scenes are a hit."""
        return share((self.image(scene), hit(scene)) for scene in scenes)

    def image(self, scene: str) -> str:
        return self.images.get(scene, scene)

    def right_when_clean(self, scene: str) -> bool:
        return scene in self.clean and self.clean[scene].right is True

    def broken(self, attack: str, scene: str, draws: int | None = None) -> bool:
        """Whether one of the first `draws` of the attack is a success on a scene that is right when clean."""
        return any(outcome.wrong for outcome in self.by_attack[attack].get(scene, ())[:draws])

    def of_attack(self, member: Member) -> Json:
        tried = self.by_attack[member.name]
        every = [outcome for outcomes in tried.values() for outcome in outcomes]
        made = [outcome for outcome in every if outcome.state != "impossible"]
        fair = [outcome for outcome in every if outcome.state == "asked"]
        pairs = {scene: pair for scene, outcomes in tried.items() if (pair := self._pair(scene, outcomes))}
        at_stake = [scene for scene in tried if member.name in self.asked and self.right_when_clean(scene)]
        reached = [scene for scene in at_stake if any(o.right is not None for o in tried[scene])]
        broken = partial(self.broken, member.name)
        return {
            "title": attack_title(member.name),
            "about": member.about,
            "group": member.group,
            "scenes": len(tried),
            "draws": len(every),
            "impossible": _counted(o.reasons for o in every if o.state == "impossible"),
            "integrity": share((self.image(o.scene), o.state == "asked") for o in made),
            "refused_by_referee": _counted(o.reasons for o in made if o.state == "unfair"),
            "fair": len(fair),
            "unverified": sum(not o.verified for o in fair) if member.group in ("edit", "composed") else 0,
            "statuses": _counted([str(o.status)] for o in fair),
            "clean_accuracy": self.share(pairs, lambda scene: pairs[scene][0]),
            "attacked_accuracy": self.share(pairs, lambda scene: pairs[scene][1]),
            "difference": change((self.image(scene), *pair) for scene, pair in pairs.items()),
            "worst_draw_accuracy": self.share(pairs, lambda scene: not any(o.wrong for o in tried[scene])),
            "success": self.share(at_stake, broken),
            "success_where_fair": self.share(reached, broken),
            "success_by_budget": self._by_budget([member]),
        }

    def _pair(self, scene: str, outcomes: Sequence[Outcome]) -> tuple[bool, bool] | None:
        """Right when clean, and under the first fair draw that was answered."""
        before = self.clean[scene].right if scene in self.clean else None
        after = next((o.right for o in outcomes if o.right is not None), None)
        return None if before is None or after is None else (before, after)

    def worst_case(self, members: Sequence[Member], kind: str | None = None) -> Json:
        """Over scenes that all of these attacks were tried on, and whose clean answer was read."""
        scenes = [
            scene
            for scene, outcome in self.clean.items()
            if outcome.right is not None
            and self._any_asked(members)
            and all(self.by_attack[m.name].get(scene) for m in members)
            and kind in (None, self.questions[scene].kind)
        ]
        right = [scene for scene in scenes if self.right_when_clean(scene)]
        stands = {scene for scene in right if not any(self.broken(m.name, scene) for m in members)}
        return {
            "attacks": [m.name for m in members],
            "clean_accuracy": self.share(scenes, self.right_when_clean),
            "accuracy": self.share(scenes, stands.__contains__),
            "difference": change((self.image(s), self.right_when_clean(s), s in stands) for s in scenes),
            "success": self.share(right, lambda scene: scene not in stands),
            "success_by_budget": self._by_budget(members, kind),
        }

    def _by_budget(self, members: Sequence[Member], kind: str | None = None) -> Json:
        """`{draws: share}` over the scenes that had at least so many draws of each of these attacks."""
        found = {}
        for budget in BUDGETS:
            scenes = [
                scene
                for scene in self.clean
                if self.right_when_clean(scene)
                and self._any_asked(members)
                and kind in (None, self.questions[scene].kind)
                and all(len(self.by_attack[m.name].get(scene, ())) >= budget for m in members)
            ]
            if scenes:
                hits = {s for s in scenes if any(self.broken(m.name, s, budget) for m in members)}
                found[str(budget)] = self.share(scenes, hits.__contains__)
        return found

    def _any_asked(self, members: Sequence[Member]) -> bool:
        return any(m.name in self.asked for m in members)

    def group(self, name: str) -> list[Member]:
        return [member for member in self.panel if member.group == name]

    def by_kind(self) -> list[Json]:
        """Question kinds, those that break most easily first."""
        rows = []
        for kind in sorted({self.questions[scene].kind for scene in self.clean}):
            scenes = [s for s in self.clean if self.questions[s].kind == kind]
            at_stake = [s for s in scenes if self.right_when_clean(s)]
            clean = [s for s in scenes if self.clean[s].right is not None]
            by_attack = {
                m.name: self.share(
                    [s for s in at_stake if m.name in self.asked and self.by_attack[m.name].get(s)],
                    partial(self.broken, m.name),
                )
                for m in self.panel
            }
            worst = {g: _brief(self.worst_case(self.group(g), kind)) for g in GROUPS if self.group(g)}
            accuracy = self.share(clean, self.right_when_clean)
            row = {"kind": kind, "scenes": len(scenes), "clean_accuracy": accuracy, "worst_case": worst}
            rows.append(row | {"success": by_attack})

        def ease(row: Json) -> float:
            return max((worst["success"]["value"] or 0 for worst in row["worst_case"].values()), default=0)

        return sorted(rows, key=ease, reverse=True)

    def fragile(self) -> list[Json]:
        """The questions that the most draws break, edits before corruptions."""
        found = []
        for scene in self.clean:
            if not self.right_when_clean(scene):
                continue
            wrong = {m.name: sum(o.wrong for o in self.by_attack[m.name].get(scene, ())) for m in self.panel}
            edits = sum(wrong[m.name] for m in self.group("edit"))
            fair = sum(o.state == "asked" for m in self.panel for o in self.by_attack[m.name].get(scene, ()))
            if total := sum(wrong.values()):
                found.append((-edits, -total, scene, {k: v for k, v in wrong.items() if v}, fair))
        return [
            {
                "scene": scene,
                "kind": self.questions[scene].kind,
                "question": self.questions[scene].text,
                "broken_by": wrong,
                "wrong": -total,
                "fair": fair,
            }
            for _, total, scene, wrong, fair in sorted(found)[:FRAGILE]
        ]

    def metrics(self) -> Json:
        """The measured part of `audit.json`: `clean`, `attacks` (by name), `worst_case` (by group, and "all"),
        `by_kind`, `fragile`."""
        read = [scene for scene, outcome in self.clean.items() if outcome.right is not None]
        guesses = [1 / sum(map(bool, self.questions[scene].options)) for scene in self.clean]
        groups = {name: self.group(name) for name in GROUPS if self.group(name)}
        return {
            "clean": {
                "scenes": len(self.clean),
                "accuracy": self.share(read, self.right_when_clean),
                "chance": sum(guesses) / len(guesses) if guesses else None,
                "statuses": _counted([str(o.status)] for o in self.clean.values()),
            },
            "attacks": {member.name: self.of_attack(member) for member in self.panel},
            "worst_case": {name: self.worst_case(members) for name, members in groups.items()}
            | {"all": self.worst_case(self.panel)},
            "by_kind": self.by_kind(),
            "fragile": self.fragile(),
        }


def _brief(worst: Json) -> Json:
    return {key: worst[key] for key in ("accuracy", "success")}


def _counted(words: Iterable[Iterable[str]]) -> dict[str, int]:
    """The most frequent first."""
    counts = Counter(word for each in words for word in each)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
