"""`aot eval`: a defender's scores on benchmarks, from plan to files.

    plan(backend, wanted, settings, store) -> list[Evaluation]      every row read once, nothing asked
    evaluate(backend, exams, settings, store, out) -> Outcome     asks, marks, scores, writes

A run that is killed goes on where it stopped: replies are stored as they come, files are written whole at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aot.backends.asking.ask_all import ask_all
from aot.backends.asking.counts import AskedCounts
from aot.backends.asking.sight import ImageEffect
from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Backend
from aot.bench.evaluation.grading import grade
from aot.bench.evaluation.protocol import EvalSettings
from aot.bench.evaluation.records import ANSWERS, REFUSED, SCORES, Answered, write_answers, write_refused
from aot.bench.evaluation.survey import Evaluation, survey
from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.pictures import IMAGE_FOLDERS
from aot.bench.reading.prompts import PROMPT_VERSION
from aot.errors import AotError
from aot.runs.files import write_json
from aot.scores.calibration import calibration
from aot.scores.score import score

REFUSALS_NAMED = 3
Wanted = Sequence[tuple[Benchmark, Path]]
Progress = Callable[[Evaluation, AskedCounts], None]


@dataclass(frozen=True)
class Outcome:
    """`scores`: what scores.json holds; `counts`: what the asking came to, by benchmark; `errors`: by benchmark a
    sentence on the questions that got no reply at all, where there are any."""

    scores: dict[str, dict[str, Any]]
    counts: dict[str, AskedCounts]
    refused_rows: int
    errors: dict[str, str]


def plan(backend: Backend, wanted: Wanted, settings: EvalSettings, store: AnswerStore) -> list[Evaluation]:
    """What would be asked. Raises `AotError` for data that cannot be read, or hold nothing to ask."""
    names = [benchmark.name for benchmark, _ in wanted]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        hint = "one path a benchmark; custom:NAME for other data"
        raise AotError(f"{twice[0]} is given twice", where="--benchmark", hint=hint)
    exams = [survey(benchmark, path, backend, settings, store) for benchmark, path in wanted]
    for evaluation in exams:
        if not evaluation.items:
            raise _nothing_to_ask(evaluation)
    return exams


def _nothing_to_ask(evaluation: Evaluation) -> AotError:
    refused, left_out = evaluation.refusals, sum(evaluation.left_out.values())
    told = [f"{len(refused)} rows refused"] * bool(refused) + [f"{left_out} rows left out"] * bool(left_out)
    what = f"nothing to ask for {evaluation.benchmark.name}: {', '.join(told) or 'it has no rows'}"
    what += "".join(f"\n  {refusal}" for refusal in refused[:REFUSALS_NAMED])
    hint = "check that the path is this benchmark's"
    if refused and all(refusal.word == "missing_image" for refusal in refused):
        folders = ", ".join(folder for folder in IMAGE_FOLDERS if folder)
        hint = f"put the images beside the questions, or there into a folder such as {folders}"
    return AotError(what, where=str(evaluation.path), hint=hint)


def evaluate(
    backend: Backend,
    exams: Sequence[Evaluation],
    settings: EvalSettings,
    store: AnswerStore,
    out: Path,
    progress: Progress = lambda evaluation, counts: None,
) -> Outcome:
    """Asks what is not stored yet, and writes scores.json, answers.parquet and refused.json into `out`."""
    answered: dict[str, list[Answered]] = {}
    scores: dict[str, dict[str, Any]] = {}
    counts: dict[str, AskedCounts] = {}
    for evaluation in exams:
        name = evaluation.benchmark.name
        counts[name] = AskedCounts()
        effect = ImageEffect()
        answered[name] = _answers(backend, evaluation, settings, store, counts[name], effect, progress)
        results = [each.result for each in answered[name]]
        sure = any(result.confidence is not None for result in results)
        scores[name] = score(results, evaluation.benchmark.metric) | {
            "calibration": calibration(results) if sure else None,
            "unmoved": effect.unmoved,
            "rows": _rows(evaluation),
            "asked": _asked(answered[name], counts[name]),
            "call": counts[name].as_json(),
            "protocol": _protocol(backend, evaluation, settings, answered[name]),
        }
    write_answers(out / ANSWERS, answered)
    write_refused(out / REFUSED, {evaluation.benchmark.name: evaluation.refusals for evaluation in exams})
    write_json(out / SCORES, scores)
    errors = {name: told for name, each in answered.items() if (told := _failed(each))}
    return Outcome(scores, counts, sum(len(evaluation.refusals) for evaluation in exams), errors)


def _failed(answered: Sequence[Answered]) -> str:
    """ "12 questions failed, mostly: timeout: no answer within 60 s"; "" where none did."""
    why = Counter(each.reply.error for each in answered if each.reply.status == "error")
    return f"{why.total()} questions failed, mostly: {why.most_common(1)[0][0][:300]}" if why else ""


def _answers(
    backend: Backend,
    evaluation: Evaluation,
    settings: EvalSettings,
    store: AnswerStore,
    counts: AskedCounts,
    effect: ImageEffect,
    progress: Progress,
) -> list[Answered]:
    """In the order of the items, whichever order replies came in."""
    found: dict[tuple[str, int], Answered] = {}
    replies = ask_all(
        backend,
        evaluation.asks(settings.answers_each),
        settings.sampling,
        store,
        counts=counts,
        progress=lambda counts: progress(evaluation, counts),
    )
    for ask, reply in replies:
        result = grade(evaluation.items[ask.id], ask, reply, evaluation.reader)
        effect.note(ask, reply, result.right)
        found[ask.id, ask.trial] = Answered(evaluation.prompt_digests[ask.id], reply, result)
    order = ((name, trial) for name in evaluation.items for trial in range(settings.answers_each))
    return [found[each] for each in order if each in found]


def _asked(answered: Sequence[Answered], call: AskedCounts) -> dict[str, Any]:
    """What the model was asked for these scores, whenever that was: the same for a run that was cut and resumed as for
    one that was not. Identical questions are one. `stored_before`: how many of the `asked` had their reply before this
    call; `call`, beside it in scores.json, has the counts of this call alone (as in audit.json)."""
    spent = AskedCounts()
    for each in answered:
        spent.add(each.reply)
    distinct = {(each.prompt_digest, each.result.trial): each.reply for each in answered}
    for reply in distinct.values():
        spent.asked += 1
        spent.spend(reply)
    told = spent.as_json()
    for of_a_call in ("stored", "over_budget", "wall_seconds"):
        told.pop(of_a_call)
    return told | {"stored_before": spent.asked - call.asked}


def _rows(evaluation: Evaluation) -> dict[str, Any]:
    left_out = sum(evaluation.left_out.values())
    return {
        "read": len(evaluation.items) + len(evaluation.refusals) + left_out,
        "kept": len(evaluation.items),
        "refused": len(evaluation.refusals),
        "left_out": evaluation.left_out,
        "published": evaluation.benchmark.items,
    }


def _protocol(
    backend: Backend, evaluation: Evaluation, settings: EvalSettings, answered: Sequence[Answered]
) -> dict[str, Any]:
    """Everything that a score is meaningless without."""
    visual = [each.reply.visual_tokens for each in answered if each.reply.visual_tokens is not None]
    spread = {"mean": sum(visual) / len(visual), "min": min(visual), "max": max(visual)} if visual else None
    known = settings.model_dump(exclude={"protocol", "trials"})
    return {
        "name": settings.protocol,
        "trials": settings.answers_each,
        **known,
        "visual_tokens": spread,
        "prompt": {"name": evaluation.benchmark.prompt_name, "version": PROMPT_VERSION},
        "data": {"path": str(evaluation.path), "digest": evaluation.digest, "source": evaluation.benchmark.source},
        "defender": {"name": backend.name, **backend.identity},
    }
