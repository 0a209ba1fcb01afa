"""What every stage of a recipe needs: measured pieces of work, counted as often as the run does them.

Not counted: referee, judge, reading and writing of images, the network between machines, more than one defender of a
mixture (`meta.rule`). An abstention is an answer like any other: what offers or teaches it adds nothing. An update of
DAPO counts one draw of prompts; dynamic sampling may draw up to `dapo.max_draws` times as many. Several GPUs share a
stage's batches evenly, each with a whole copy of the models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from aot.backends.vllm.settings import VLLM
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import BEST_RESPONSE, baselines, best_response_targets, defenders
from aot.plan.live_memory import Kind, Measured
from aot.plan.measures import Measures
from aot.plan.phases import Phase, StageNeed
from aot.plan.stock_answers import Answering
from aot.train.defender.sft.settings import DefenderSftSettings

ADAPTER_BYTES = 4
"""A parameter on disk: adapters, and whole weights that are trained, are float32."""
SERVER, AWAKE = "vLLM itself", "beside vLLM"
"""Phases of a stage whose frozen defender a vLLM of ours is: what it needs of its share of a GPU; and where it takes
turns, what waits on the GPU beside that share."""
PASSING: tuple[Kind, ...] = ("gradients", "cache", "activations")
"""Kinds that no longer take memory when a piece of work has ended."""
FLOOR, CONDITIONS, ATTACKER, PAYOFF, ROUNDS = (
    "floor",
    "attacker's conditions",
    "attacker's evolution",
    "payoff matrix",
    "attack round",
)
WARM_UP, HITS, DEFENDER, EVALUATION = "defender's SFT", "defender's SFT on hits", "defender's DAPO", "evaluation"
BASELINE = "baseline "
"""Before the name of one that the recipe lists."""


def stage_needs(recipe: Recipe) -> Iterator[StageNeed]:
    """Each kind of stage that the recipe has."""
    measures = Measures(recipe)
    return (make(measures) for make in _stages(recipe).values())


def stage_need(recipe: Recipe, name: str) -> StageNeed:
    return _stages(recipe)[name](Measures(recipe))


def _stages(recipe: Recipe) -> dict[str, Callable[[Measures], StageNeed]]:
    there: dict[str, Callable[[Measures], StageNeed]] = {}
    if recipe.floor.scenes:
        there[FLOOR] = floor
    there |= {name: partial(defenders_sft, name=name) for name in sft_trainings(recipe) if name != HITS}
    if recipe.players.attacker.conditions == "disk":
        there[CONDITIONS] = attackers_conditions
    there[ATTACKER] = attackers_evolution
    if recipe.meta.rule != "newest":
        there[PAYOFF] = payoff
    there[ROUNDS] = attack_round
    if recipe.hits.steps:
        there[HITS] = partial(defenders_sft, name=HITS)
    return there | {DEFENDER: defenders_dapo, EVALUATION: evaluation}


def floor(m: Measures) -> StageNeed:
    """Null edits of the attacker as it comes; each image goes through the autoencoder alone, too."""
    scenes = m.recipe.floor.scenes
    return StageNeed(FLOOR, 1, _editing(m, scenes), geometry=f"{scenes} null edits of {_size(m)}")


def attackers_conditions(m: Measures) -> StageNeed:
    """Text embeddings and source latents of a training's scenes, kept on disk."""
    r, at_once = m.recipe, m.attacker.settings.encode_batch
    scenes = r.game.train_scenes
    phases = [Phase("conditions", m.conditions, scenes / at_once)]
    geometry = f"{scenes} scenes, {at_once} at once; {m.stored_bytes / 1e6:.1f} MB each"
    made = r.iterations + bool(best_response_targets(r))
    return StageNeed(CONDITIONS, made, phases, saved=scenes * m.stored_bytes, geometry=geometry)


def attackers_evolution(m: Measures) -> StageNeed:
    """Flow-GRPO of one iteration; fresh attackers against final defenders count by their number of updates."""
    r, s, update = m.recipe, m.flow_grpo, m.update
    scenes, edits = r.game.train_scenes, m.edits * s.updates
    guided = 2 if m.attacker.settings.guidance > 1 else 1
    painting = Phase("painting", m.painting, edits / m.attacker.settings.decode_batch)
    phases = []
    if not m.conditions_on_disk:
        phases.append(Phase("conditions", m.conditions, scenes / m.attacker.settings.encode_batch))
    if update.whole:
        phases += [painting, Phase("sampling and update", update.step, s.updates)]
    else:
        phases += [Phase("sampling", m.sampling, s.updates * _edit_steps(m) / m.edits_at_once), painting]
        phases.append(Phase("update", update.step, s.passes * edits * s.window / update.edits))
    phases += _answers(m, edits, s.environment.answers, training=True)
    made = r.iterations + len(best_response_targets(r)) * r.best_response_updates / s.updates
    steps = -(-m.edits // s.minibatch) * s.passes
    geometry = (
        f"{s.updates} updates of {s.groups} groups x {s.group_size} = {m.edits} edits of {_size(m)}, {s.steps} steps"
        f"{' with guidance (two passes each)' if guided == 2 else ''}, {s.window} of them trained; {steps} optimizer "
        f"steps an update, of {min(s.minibatch, m.edits)} edits, {update.edits} at once"
    )
    phases = _with_server(m, phases, update.step)
    return StageNeed(ATTACKER, made, phases, update.trained, update.trained * ADAPTER_BYTES, geometry)


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
    return StageNeed(ROUNDS, r.iterations, _with_server(m, phases, m.editing), geometry=geometry)


def _editing(m: Measures, edits: float) -> list[Phase]:
    how = m.attacker.settings
    return [
        Phase("conditions", m.asking, edits / how.encode_batch),
        Phase("sampling", m.editing, edits * how.steps / how.batch),
        Phase("painting", m.showing, edits / how.decode_batch),
    ]


def payoff(m: Measures) -> StageNeed:
    """Half an iteration's part of the matrix of all attackers and defenders: what was measured before is kept."""
    r, n = m.recipe, m.recipe.iterations
    scripted = len(r.scripted_attacks.families) or 1
    # As iteration i begins, a new defender meets all attackers; once it is trained, a new attacker all defenders.
    trained, looks = n * (n + 1), n + n * (n + 1) // 2
    cells = trained + scripted * n
    halves = 2 * n
    edits, asked = r.meta.scenes * trained / halves, r.meta.scenes * (cells + looks) / halves
    phases = [*_editing(m, edits), *_answers(m, asked, 1)]
    geometry = f"{cells} meetings on {r.meta.scenes} scenes in the run, {trained} with trained attackers"
    return StageNeed(PAYOFF, halves, phases, geometry=geometry)


def _answers(m: Measures, images: float, k: int, *, training: bool = False) -> list[Phase]:
    """k answers to each image, in the process that asks; none where a server answers."""
    made = m.answers_beside(k, training=training)
    return _reading_and_writing(made, images * k, m.most_tokens) if made else []


def _reading_and_writing(made: Answering, answers: float, tokens: int) -> list[Phase]:
    batches = answers / made.answers
    return [
        Phase("read prompts", made.read, batches),
        Phase("write answers", made.write, batches * tokens, writes=True),
    ]


def _with_server(m: Measures, phases: list[Phase], work: Measured) -> list[Phase]:
    """With what a server of ours has of the GPU beside them: all the time, or where it sleeps by turns while it is
    asked, when of the process's `work` its weights, optimizer and data stay where they are."""
    vllm = m.recipe.compute.vllm
    if m.recipe.compute.answers != VLLM:
        return phases
    share = vllm.memory_share
    if vllm.placement == "shared":
        phases = [replace(phase, reserved=share) for phase in phases]
    if vllm.placement == "time_shared":
        waits = replace(work, peak=work.peak | dict.fromkeys(PASSING, 0), flops=0)
        phases = [*phases, Phase(AWAKE, waits, 0, reserved=share)]
    return [*phases, _server(m)]


def _server(m: Measures) -> Phase:
    vllm = m.recipe.compute.vllm
    held = m.served(vllm.max_model_len, gpus=vllm.tensor_parallel)
    return Phase(SERVER, held, 0, limit=vllm.memory_share)


def defenders_dapo(m: Measures) -> StageNeed:
    """Of one iteration; the control on clean scenes counts by its number of updates."""
    r, s = m.recipe, m.dapo_settings
    update, trained = m.dapo
    answers = s.groups * s.group_size
    at_once = answers if s.engine == "packed" else s.trls_forward()
    colocated = s.engine == "trl" and s.trl.vllm == "colocate"
    phases = []
    if s.engine == "packed" or s.trl.vllm == "off":
        phases = _reading_and_writing(m.dapo_answers, s.updates * answers, s.limit)
    share = s.trl.vllm_memory if colocated else 0.0
    phases.append(Phase("update", update, s.updates * answers / at_once, reserved=share))
    if colocated:  # which has 16 bits a weight where the trainer has 32
        phases.append(Phase(SERVER, m.served(s.trl.vllm_max_model_len, most=2), 0, limit=share))
    control = (r.clean_rl_updates or s.updates) / s.updates if r.clean_rl else 0.0
    geometry = (
        f"{s.updates} updates of {s.groups} groups x {s.group_size} = {answers} answers of at most {s.limit} tokens; "
        f"one optimizer step an update, {at_once} answers at once"
        + (f"; written by TRL's vLLM ({s.trl.vllm}), whose time is not counted" if s.trl.vllm != "off" else "")
    )
    return StageNeed(DEFENDER, r.iterations * (1 + control), phases, trained, trained * ADAPTER_BYTES, geometry)


def sft_trainings(recipe: Recipe) -> dict[str, tuple[DefenderSftSettings, float, int]]:
    """Every kind of SFT of the defender, by its stage: its settings, how often the run makes it, and the most attacks
    on a scene that it has to choose from."""
    r, draws = recipe, recipe.scripted_attacks.draws
    found = {}
    if steps := r.warm_up.steps or r.sft_scripted_steps:
        settings = r.warm_up.model_copy(update={"steps": steps})
        found[WARM_UP] = (settings, bool(r.warm_up.steps) + r.sft_scripted_steps / steps, 1 if r.pairs else draws)
    if r.hits.steps:
        found[HITS] = (r.hits, r.iterations, draws)
    for one in r.baselines:
        attacked = one.attacks.draws if one.attacks else 2 + r.attacks.scripted_draws if one.same_attacks else 0
        found[f"{BASELINE}{one.name}"] = (one.sft, 1, attacked)
    return found


def defenders_sft(m: Measures, name: str = WARM_UP) -> StageNeed:
    """Steps, and where the settings have them looks at candidates and PGD on pixels. The warm-up also stands for the
    baseline of SFT on scripted attacks, which is as much longer as it has more steps, and takes less without pairs."""
    s, made, attacks = sft_trainings(m.recipe)[name]
    update, trained = m.sft(s)
    at_once = min(s.per_forward, s.batch)
    phases = [Phase("update", update, s.steps * s.batch / at_once)]
    geometry = f"{s.steps} steps of {s.batch} images, {at_once} at once"
    attacked, offered = s.attacked_of(s.single), s.drawn()[0]
    candidates = min(s.candidates, attacks)
    if (looks := offered * candidates) > attacked:
        phases.append(Phase("candidates", m.losses(s, at_once), s.steps * looks / at_once))
        geometry += f"; {attacked} of them the hardest of {looks} attacks"
    if s.pairs_drawn > s.pairs:
        phases.append(Phase("pairs", m.losses(s, at_once), s.steps * 2 * s.pairs_drawn / at_once))
    if s.pairs:
        geometry += f"; {s.pairs} counterfactual pairs of {s.pairs_drawn}"
    if pixels := round(s.batch * s.pixel.share):
        together = min(at_once, pixels)
        times = s.steps * s.pixel.steps * pixels / together
        phases.append(Phase("pixels", m.pixels(s, together), times))
        geometry += f"; at most {pixels} after {s.pixel.steps} steps of PGD on their pixels"
    return StageNeed(name, made, phases, trained, trained * ADAPTER_BYTES, geometry)


def evaluation(m: Measures) -> StageNeed:
    """All players on the held-out scenes."""
    r, scenes = m.recipe, m.recipe.game.held_out_scenes
    attackers = r.iterations + 1 + len(best_response_targets(r))
    columns = 1 + r.evaluation.distractors + r.iterations + 1
    answers = (len(defenders(r)) * columns + len(best_response_targets(r))) * scenes
    phases = _editing(m, attackers * scenes)
    if m.answers_here:
        phases += _reading_and_writing(m.reading, answers, m.most_tokens)
    others = f"{len(baselines(r))} baselines, {len(best_response_targets(r))} {BEST_RESPONSE.replace('_', ' ')}s"
    geometry = f"{attackers * scenes} edits, at most {answers} answers on {scenes} scenes ({others})"
    if r.compute.answers == VLLM:  # alone: who attacks has ended
        phases.append(_server(m))
    return StageNeed(EVALUATION, 1, phases, geometry=geometry)


def _size(m: Measures) -> str:
    return f"{m.size[0]} x {m.size[1]} px"
