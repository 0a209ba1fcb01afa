"""What every stage of a recipe needs: measured pieces of work, counted as often as the run does them.

Not counted: referee, reading and writing of images, the network between machines. An update of DAPO counts one draw of
prompts; dynamic sampling may draw up to `dapo.max_draws` times as many. Several GPUs share a stage's batches evenly,
each with a whole copy of the models.
"""

from __future__ import annotations

from collections.abc import Iterator

from aot.backends.frozen_settings import VLLM
from aot.coevolve.names import RESPONSE, baselines, defenders, finals
from aot.coevolve.recipe import Recipe
from aot.plan.defender_plan import Answering
from aot.plan.measures import Measures
from aot.plan.phases import Phase, StageNeed

ADAPTER_BYTES = 4
"""A parameter on disk: adapters, and whole weights that are trained, are float32."""
TRL_SHARE = 0.3
"""Of a GPU's memory that TRL gives to a vLLM in its own process (`vllm_gpu_memory_utilization`)."""
ATTACKER, ROUNDS, DEFENDER, WARM_UP, EVALUATION = (
    "attacker's evolution",
    "attack round",
    "defender's DAPO",
    "defender's SFT",
    "evaluation",
)


def stage_needs(recipe: Recipe) -> Iterator[StageNeed]:
    """Each kind of stage that the recipe has."""
    measures = Measures(recipe)
    if recipe.warm_up.steps or recipe.sft_scripted_steps or recipe.baselines:
        yield defenders_sft(measures)
    yield attackers_evolution(measures)
    yield attack_round(measures)
    yield defenders_dapo(measures)
    yield evaluation(measures)


def stage_need(recipe: Recipe, name: str) -> StageNeed:
    make = {
        WARM_UP: defenders_sft,
        ATTACKER: attackers_evolution,
        ROUNDS: attack_round,
        DEFENDER: defenders_dapo,
        EVALUATION: evaluation,
    }
    return make[name](Measures(recipe))


def attackers_evolution(m: Measures) -> StageNeed:
    """Flow-GRPO of one iteration; fresh attackers against final defenders count by their number of updates."""
    r, s, update = m.recipe, m.flow_grpo, m.update
    scenes, edits = r.game.train_scenes, m.edits * s.updates
    guided = 2 if m.attacker.settings.guidance > 1 else 1
    phases = [
        Phase("conditions", m.conditions, scenes / m.attacker.settings.encode_batch),
        Phase("painting", m.painting, edits / m.attacker.settings.decode_batch),
    ]
    if update.whole:
        phases.append(Phase("sampling and update", update.step, s.updates))
    else:
        phases.insert(1, Phase("sampling", m.sampling, s.updates * _edit_steps(m) / m.edits_at_once))
        phases.append(Phase("update", update.step, s.passes * edits * s.window / update.edits))
    phases += _answers(m, edits, s.environment.answers)
    made = r.iterations + len(finals(r)) * r.best_response_updates / s.updates
    steps = -(-m.edits // s.minibatch) * s.passes
    geometry = (
        f"{s.updates} updates of {s.groups} groups x {s.group_size} = {m.edits} edits of {_size(m)}, {s.steps} steps"
        f"{' with guidance (two passes each)' if guided == 2 else ''}, {s.window} of them trained; {steps} optimizer "
        f"steps an update, of {min(s.minibatch, m.edits)} edits, {update.edits} at once"
    )
    return StageNeed(ATTACKER, made, _beside(m, phases), update.trained, update.trained * ADAPTER_BYTES, geometry)


def _edit_steps(m: Measures) -> float:
    """Steps of single edits in an update's sampling: those with one noise a group are one up to the window."""
    s = m.flow_grpo
    if not s.share_noise:
        return m.edits * s.steps
    together = (s.window_first + s.window_last - s.window + 1) / 2 + 1  # the window's first place, on average
    return m.edits * (s.steps - together) + m.edits / s.group_size * together


def attack_round(m: Measures) -> StageNeed:
    """The newest attacker and the one before, on all training scenes, and scripted distractors."""
    r, how = m.recipe, m.attacker.settings
    edits = 2 * r.game.train_scenes
    asked = (2 + r.attacks.scripted_draws) * r.game.train_scenes
    phases = [*_editing(m, edits), *_answers(m, asked, r.attacks.answers)]
    geometry = f"{edits} edits of {_size(m)}, {how.steps} steps, {how.batch} at once; {r.attacks.answers} answers each"
    return StageNeed(ROUNDS, r.iterations, _beside(m, phases), geometry=geometry)


def _editing(m: Measures, edits: int) -> list[Phase]:
    how = m.attacker.settings
    return [
        Phase("conditions", m.conditions, edits / how.encode_batch),
        Phase("sampling", m.editing, edits * how.steps / how.batch),
        Phase("painting", m.painting, edits / how.decode_batch),
    ]


def _answers(m: Measures, images: int, k: int) -> list[Phase]:
    """k answers to each image, in the process that asks; none where a server answers."""
    made = m.answers_beside(k)
    return _reading_and_writing(made, images / m.defender_batch, m.most_tokens) if made else []


def _reading_and_writing(made: Answering, batches: float, tokens: int) -> list[Phase]:
    return [
        Phase("read prompts", made.read, batches),
        Phase("write answers", made.write, batches * tokens, writes=True),
    ]


def _beside(m: Measures, phases: list[Phase]) -> list[Phase]:
    """With what a server has of the GPU beside them."""
    vllm = m.recipe.compute.vllm
    if m.recipe.compute.answers != VLLM or vllm.placement != "shared":
        return phases
    return [Phase(p.name, p.measured, p.times, p.writes, vllm.memory_share) for p in phases]


def defenders_dapo(m: Measures) -> StageNeed:
    """Of one iteration; the control on clean scenes counts by its number of updates."""
    r, s = m.recipe, m.dapo_settings
    update, trained = m.dapo
    answers = s.groups * s.group_size
    at_once = answers if s.engine == "packed" else s.trl.completions_per_forward
    colocated = s.engine == "trl" and s.trl.vllm == "colocate"
    phases = []
    if s.engine == "packed" or s.trl.vllm == "off":
        made, prompts = m.dapo_answers
        phases = _reading_and_writing(made, s.updates * s.groups / prompts, s.limit)
    share = TRL_SHARE if colocated else 0.0
    phases.append(Phase("update", update, s.updates * answers / at_once, reserved=share))
    control = (r.clean_rl_updates or s.updates) / s.updates if r.clean_rl else 0.0
    geometry = (
        f"{s.updates} updates of {s.groups} groups x {s.group_size} = {answers} answers of at most {s.limit} tokens; "
        f"one optimizer step an update, {at_once} answers at once"
        + (f"; written by TRL's vLLM ({s.trl.vllm}), whose time is not counted" if s.trl.vllm != "off" else "")
    )
    return StageNeed(DEFENDER, r.iterations * (1 + control), phases, trained, trained * ADAPTER_BYTES, geometry)


def defenders_sft(m: Measures) -> StageNeed:
    """The warm-up, counted as often as the run makes as many steps: SFT on scripted attacks, and on hits, too."""
    r, s = m.recipe, m.recipe.warm_up
    update, trained = m.sft
    at_once, steps = min(s.per_forward, s.batch), s.steps or r.sft_scripted_steps or 1
    others = [(r.iterations * r.hits.steps, r.hits.batch), *((b.sft.steps, b.sft.batch) for b in r.baselines)]
    more = r.sft_scripted_steps + sum(number * batch / s.batch for number, batch in others)
    made = 1 + more / steps if s.steps else more / steps
    geometry = f"{steps} steps of {s.batch} images, {at_once} at once"
    phases = [Phase("update", update, steps * s.batch / at_once)]
    return StageNeed(WARM_UP, made, phases, trained, trained * ADAPTER_BYTES, geometry)


def evaluation(m: Measures) -> StageNeed:
    """All players on the held-out scenes."""
    r, scenes = m.recipe, m.recipe.game.held_out_scenes
    attackers = r.iterations + 1 + len(finals(r))
    columns = 1 + r.evaluation.distractors + r.iterations + 1
    answers = (len(defenders(r)) * columns + len(finals(r))) * scenes
    phases = _editing(m, attackers * scenes)
    if m.answers_here:
        made, batch = m.reading
        phases += _reading_and_writing(made, answers / batch, m.most_tokens)
    others = f"{len(baselines(r))} baselines, {len(finals(r))} {RESPONSE.replace('_', ' ')}s"
    geometry = f"{attackers * scenes} edits, at most {answers} answers on {scenes} scenes ({others})"
    return StageNeed(EVALUATION, 1, _beside(m, phases), geometry=geometry)


def _size(m: Measures) -> str:
    return f"{m.size[0]} x {m.size[1]} px"
