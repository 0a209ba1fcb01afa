"""Whether a model's confidence falls where it is deceived, so that it could abstain there.

Of every fair draw that was answered with a confidence: calibration and selective accuracy; of those on scenes that were
answered rightly when clean: the answers that stay right against the *deceived* ones (`aot.scores.selective`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from aot.audit.metrics import GROUPS, Member, Outcome, Tally
from aot.audit.shares import Json
from aot.backends.asking.defender import gold_answers, letters
from aot.backends.base.backend import Backend
from aot.report.words import percent
from aot.scores.selective import Sure, at_stake, selective, worst_of
from aot.types import Question

ABSENT = "This model gives no probabilities of its answers: how sure it is of them is not known."

Completions = Callable[[Question], tuple[str, ...]]


def nothing_weighed(question: Question) -> tuple[str, ...]:
    return ()


def weighed_by(backend: Backend) -> Completions:
    """The completions whose probabilities a backend is asked for: whole answers as the prompt wants them of a model in
    this process, since servers tell those of single letters only."""
    return gold_answers if backend.identity.get("kind") == "local" else letters


def confidence(tally: Tally) -> Json:
    """`answered`, `given` (of these, with a confidence), `absent` (why nothing is known, else ""); then `clean`,
    `attacks` (by name) and `worst_case` (by group).

    Each of these has `n` answers with a confidence, `mean`, `ece`, `aurc` and `at_coverage`; clean and attacks also the
    draws that were `asked` and `answered`. In the worst case the answers are scenes that all attacks of the group were
    tried on, without `left_out` ones, of which an answer has no confidence. An attack has `at_stake`, too.
    """
    clean = list(tally.clean.values())
    fair = {m.name: [o for each in tally.by_attack[m.name].values() for o in each] for m in tally.panel}
    every = [o for o in (*clean, *(o for each in fair.values() for o in each)) if o.right is not None]
    given = sum(o.confidence is not None for o in every)
    found: Json = {"answered": len(every), "given": given, "absent": "" if given else ABSENT}
    if not given:
        return found
    return found | {
        "clean": _entry(clean, tally),
        "attacks": {name: _entry(each, tally) | {"at_stake": _at_stake(each, tally)} for name, each in fair.items()},
        "worst_case": {group: _worst(members, tally) for group in GROUPS if (members := tally.group(group))},
    }


def sure_line(found: Json) -> str:
    """What is known in one line, for the terminal."""
    if found["absent"]:
        return str(found["absent"])
    told = [f"mean confidence clean {percent(found['clean']['mean']['value'])} %"]
    for name, row in found["attacks"].items():
        stake = row["at_stake"]
        if stake["deceived"]["n"]:
            right, deceived = (percent(stake[word]["value"]) for word in ("right", "deceived"))
            told.append(f"{name} {right} right, {deceived} deceived (AUROC {percent(stake['auroc']['value'])})")
    return "; ".join(told)


def _entry(outcomes: Iterable[Outcome], tally: Tally) -> Json:
    asked = [o for o in outcomes if o.state == "asked"]
    sure = [
        Sure(tally.image(o.scene), o.right, o.confidence)
        for o in asked
        if o.right is not None and o.confidence is not None
    ]
    return {"asked": len(asked), "answered": sum(o.right is not None for o in asked)} | selective(sure)


def _at_stake(outcomes: Iterable[Outcome], tally: Tally) -> Json:
    sure = []
    for o in outcomes:
        before = tally.clean.get(o.scene)
        if o.right is None or o.confidence is None or before is None or not before.right or before.confidence is None:
            continue
        sure.append(Sure(tally.image(o.scene), o.right, o.confidence, before.confidence))
    return at_stake(sure)


def _worst(members: Sequence[Member], tally: Tally) -> Json:
    sure, left_out = [], 0
    for scene, clean in tally.clean.items():
        tried = [tally.by_attack[m.name].get(scene, []) for m in members]
        if clean.right is None or not all(tried):
            continue
        answers = [clean, *(o for each in tried for o in each if o.right is not None)]
        known = [(bool(o.right), o.confidence) for o in answers if o.confidence is not None]
        if len(known) < len(answers):
            left_out += 1
            continue
        sure.append(worst_of(tally.image(scene), known))
    return {"left_out": left_out} | selective(sure)
