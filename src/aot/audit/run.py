"""The audit on one page: plan, attack, referee, ask, count, write.

Every reply is on disk as it comes, under the digest of all that it depends on: a killed audit asks nothing twice, and
ends with the files of one that was not. Attacks are drawn again instead (expensive ones are cached).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from aot.attacks.base.composition import Composition
from aot.attacks.base.family import Family
from aot.attacks.judging.referees import possible_line
from aot.audit.confidence import Completions, confidence, nothing_weighed, weighed_by
from aot.audit.drawing import Drawing, Drawn
from aot.audit.metrics import Member, Outcome, Tally
from aot.audit.panel import group_of
from aot.audit.plan import CLEAN, AuditSettings, Plan, plan_of, turns
from aot.audit.shares import Json
from aot.audit.subjects import Subjects, fingerprint
from aot.audit.white_box import planned_gradients, within_ball
from aot.backends.asking.ask_all import ask_all
from aot.backends.asking.counts import AskedCounts
from aot.backends.asking.defender import read_reply
from aot.backends.asking.sight import ImageEffect
from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Ask, Backend, Reply
from aot.backends.base.pictures import png
from aot.data.images.reading import Refusal
from aot.data.photos.photo import AnnotatedScene
from aot.prompts import question_prompt
from aot.runs.files import canonical_hash, held, replacing, write_json
from aot.runs.progress import GRADIENTS, part
from aot.runs.terminal import echo
from aot.types import LETTERS, Question, Scene, Verdict
from aot.world.scenes import WorldScene

FORMAT, VERSION = "aot-audit", 1
RESULT, OUTCOMES, REPLIES = "audit.json", "outcomes.jsonl", "replies.sqlite"
SAID = 400
"""Characters of a reply that are kept beside its outcome."""
REFUSALS_NAMED = 50

Key = tuple[int, str, int]
"""(scene, attack, draw)."""


@dataclass
class Audit:
    """One audit of one model. `outcomes`: of every turn so far, in the order of the plan. `weighed`: the
    completions whose probabilities a question asks for."""

    subjects: Subjects
    panel: Sequence[Family]
    settings: AuditSettings
    budget: int | None = None
    weighed: Completions = nothing_weighed
    outcomes: dict[Key, Outcome] = field(default_factory=dict)
    questions: dict[str, Question] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    fingerprints: list[str] = field(default_factory=list)
    image_effect: ImageEffect = field(default_factory=ImageEffect)

    def __post_init__(self) -> None:
        s = self.settings
        referees = self.subjects.referees(s.referee, s.corruption_ssim_min, within_ball(self.panel))
        self.drawing = Drawing(self.subjects, referees, s.seed)

    def asks(self) -> Iterator[Ask]:
        """Every request of the plan up to the budget, made as it is wanted; notes what cannot or may not be asked."""
        asked = 0
        seen: dict[tuple[int, str], set[bytes]] = {}
        every = turns(len(self.subjects), self.panel, self.settings.draws, self.budget)
        while block := self.drawing.block(every, None if self.budget is None else self.budget - asked):
            for turn in block:
                if ask := self._ask(turn, seen):
                    asked += 1
                    yield ask

    def _ask(self, turn: Drawn, seen: dict[tuple[int, str], set[bytes]]) -> Ask | None:
        """The request of a turn, if it has one. `seen`: by scene and attack the images of the draws before."""
        scene, attack, drawn = turn.scene, turn.attack, turn.made
        key: Key = (turn.number, attack.name if attack else CLEAN, turn.nth)
        outcome = Outcome(scene.id, key[1], turn.nth)
        if attack is None:
            self.questions[scene.id] = scene.question
            self.images[scene.id] = self.subjects.image(turn.number)
            self.fingerprints.append(fingerprint(scene))
            image = scene.image
        else:
            if not isinstance(drawn, str):
                pixels = hashlib.sha256(drawn[0].image.tobytes()).digest()
                before = seen.setdefault(key[:2], set())
                drawn = "drawn_before" if pixels in before else drawn
                before.add(pixels)
            if isinstance(drawn, str):
                self.outcomes[key] = replace(outcome, state="impossible", reasons=(drawn,))
                return None
            made, verdict = drawn
            ssim = verdict.measured("local_ssim")
            outcome = replace(
                outcome,
                local_ssim=None if ssim != ssim else round(ssim, 6),
                verified=is_verified(scene, attack, verdict),
            )
            if not verdict.valid:
                self.outcomes[key] = replace(outcome, state="unfair", reasons=verdict.refused_by)
                return None
            image = made.image
        self.outcomes[key] = outcome
        prompt = question_prompt(scene.question, abstain=self.settings.abstain)
        return Ask("/".join(map(str, key)), (png(image), prompt), self.weighed(scene.question))

    def note(self, ask: Ask, reply: Reply) -> None:
        """The reply to a request of `asks`."""
        number, name, nth = ask.id.split("/")
        key = (int(number), name, int(nth))
        question = self.questions[self.outcomes[key].scene]
        answer = read_reply(reply, question.options)
        right = None if answer.choice is None else answer.choice == question.answer
        self.image_effect.note(ask, reply, right)
        given = "" if answer.choice is None else LETTERS[answer.choice]
        sure = None
        if answer.choice is not None and reply.probabilities is not None:
            sure = round(reply.probabilities[answer.choice], 6)
        self.outcomes[key] = replace(
            self.outcomes[key],
            status=answer.status,
            right=right,
            given=given,
            said=answer.text[:SAID],
            confidence=sure,
        )

    @property
    def members(self) -> list[Member]:
        return [Member(attack.name, group_of(attack), attack.about) for attack in self.panel]

    def tally(self) -> Tally:
        return Tally(self.outcomes.values(), self.questions, self.members, self.images)


def is_verified(scene: Scene, attack: Family, verdict: Verdict) -> bool:
    """Whether the answer was worked out again after the edit, or the edit cannot have touched what decides it."""
    if isinstance(scene, WorldScene) or attack.threat == "pixel":
        return True
    if (attack.first if isinstance(attack, Composition) else attack).rule == "paint":
        return isinstance(scene, AnnotatedScene) and scene.query is not None
    measured = verdict.measured("answer_kept")
    return measured == measured


def run_audit(
    backend: Backend,
    subjects: Subjects,
    panel: Sequence[Family],
    settings: AuditSettings,
    out: Path,
    *,
    budget: int | None = None,
    refused: Sequence[Refusal] = (),
    about: Json | None = None,
    say: Callable[[str], None] = echo,
) -> tuple[Json, Audit]:
    """Asks what has not been asked and writes `audit.json` and `outcomes.jsonl` (one turn a line); returns the former
    and the audit. `about`: what the caller knows of the data and the panel, for the protocol. Raises `AotError` as the
    backend does, or where another process audits into the same folder."""
    audit = Audit(subjects, panel, settings, budget, weighed_by(backend) if settings.confidence else nothing_weighed)
    spent, call = AskedCounts(), AskedCounts()
    most = planned_gradients(panel, len(subjects), settings.draws, budget)
    with held(out), AnswerStore(out / REPLIES) as store, part(GRADIENTS, most):
        known = store.counts()
        plan = plan_of(
            subjects.images,
            len(subjects),
            panel,
            settings.draws,
            budget,
            stored=len(store),
            seconds_each=known.seconds / known.asked if known.asked and known.seconds else None,
        )
        say("\n".join(plan.lines()))
        told = 0
        for done, (ask, reply) in enumerate(ask_all(backend, audit.asks(), settings.sampling, store, counts=call), 1):
            audit.note(ask, reply)
            spent.add(reply)
            spent.spend(reply)
            if (tenths := 10 * done // plan.requests) > told:
                told = tenths
                say(f"  {done} answers of at most {plan.requests}")
        left_out = Counter(outcome.state for outcome in audit.outcomes.values() if outcome.state != "asked")
        say(f"  {spent.replies} answers; attacks impossible: {left_out['impossible']}, unfair: {left_out['unfair']}")
        for line in _left_out(audit):
            say(f"    {line}")
        result = _result(audit, backend, plan, spent, call, refused, about or {})
        _write_outcomes(out / OUTCOMES, audit.outcomes.values())
        write_json(out / RESULT, result)
    return result, audit


def _left_out(audit: Audit) -> list[str]:
    """Of each attack that was not always possible and fair: how many draws were, and why the others were not."""
    lines = []
    for attack in audit.panel:
        drawn = [outcome for key, outcome in audit.outcomes.items() if key[1] == attack.name]
        reasons = Counter("" if outcome.state == "asked" else outcome.reasons[0] for outcome in drawn)
        if set(reasons) - {""}:
            lines.append(possible_line(attack.name, reasons, "draws"))
    return lines


def _result(
    audit: Audit,
    backend: Backend,
    plan: Plan,
    spent: AskedCounts,
    call: AskedCounts,
    refused: Sequence[Refusal],
    about: Json,
) -> Json:
    """`audit.json`, version 1: `defender` (name, identity), `plan` (images, questions, attacks, draws, requests: the
    most, budget, scenes_asked), the measured part (`aot.audit.metrics`; of `aot.audit.confidence` where that was asked
    for), `costs` of all that the metrics rest on,
    whenever it was asked (questions, statuses, requests with retries, faults, tokens, seconds), `call` (the same of
    this call alone, with what was asked and what was stored), `refused_rows` (n, by_reason, first), `protocol` (data,
    its digest, prompt, image, settings with sampling and seed). Run again, an audit differs in `call` only."""
    s = audit.settings
    costs = spent.as_json()
    for key in ("asked", "stored", "over_budget", "wall_seconds"):
        costs.pop(key)
    return {
        "format": FORMAT,
        "version": VERSION,
        "defender": {"name": backend.name, "identity": backend.identity},
        "plan": {
            **{k: v for k, v in asdict(plan).items() if k not in ("stored", "seconds_each")},
            "scenes_asked": len(audit.questions),
        },
        **audit.tally().metrics(),
        **({"confidence": confidence(audit.tally())} if s.confidence else {}),
        "unmoved": audit.image_effect.unmoved,
        "costs": {"questions": spent.replies, **costs},
        "call": call.as_json(),
        "refused_rows": {
            "n": len(refused),
            "by_reason": dict(Counter(refusal.word for refusal in refused)),
            "first": [{"file": r.file, "row": r.row, "reason": r.reason} for r in refused[:REFUSALS_NAMED]],
        },
        "protocol": {
            **about,
            "data_digest": canonical_hash(audit.fingerprints),
            "prompt": question_prompt(Question("<question>", ("<option>", "<option>"), 0), abstain=s.abstain),
            "image": f"PNG, longer side at most {s.side_px} px",
            "settings": s.model_dump(mode="json"),
        },
    }


def _write_outcomes(path: Path, outcomes: Iterable[Outcome]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for outcome in outcomes:
            lines.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")
