"""The arena on one page: runs to players, players to cells, cells to figures.

    the players of the runs, and scripted attackers, are identified by their content
    a fresh best response is trained against each defender, if that is asked for
    every attacker attacks the held-out scenes of the first run, every defender answers    (cells, kept on disk)
    the matrix of each threat, its equilibrium, and what follows from it                   (arena.json)

What is on disk is not made again, so a further player costs a row or a column. The figures do not know what was kept:
made anew they are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from aot.arena.cells.play import Play
from aot.arena.cells.store import ANSWERS, ATTACKS, CONFIDENCES, CellStore
from aot.arena.players.open_players import Meeting
from aot.arena.players.pool import Pool, PoolAttacker, pool_of, read_runs, with_responses
from aot.arena.players.responses import fresh_responses
from aot.arena.players.scenes import arena_scenes, units_of
from aot.arena.players.scripted import scripted_attackers
from aot.arena.players.settings import ArenaSettings
from aot.arena.players.white_box import white_box_attackers
from aot.arena.statistics.confidence import Confidences, confidence
from aot.arena.statistics.diversity import Edit, diversity_of, edits_of
from aot.arena.statistics.profiles import profiles
from aot.arena.statistics.scores import ArenaScores, Json, share_of
from aot.arena.statistics.standings import budgets, differences, dynamics, edit_dynamics, forgetting, matrices
from aot.arena.statistics.transfer import transfer, transferred
from aot.attacks.families import needs_objects
from aot.attacks.judging.referees import possible_line
from aot.coevolve.rounds.scoring import Mask, Scores
from aot.coevolve.scenes.game import PHOTOS
from aot.runs import ranks
from aot.runs.files import held, write_json
from aot.runs.terminal import echo

FORMAT, VERSION, RESULT = "aot-arena", 1, "arena.json"
TOY = (
    "A toy: the players are miniatures, pretrained on a drawn world of 64 x 64 pixels. The figures say how the method "
    "behaves at that size, not how robust a full-size model is."
)


@dataclass(frozen=True)
class Arena:
    """What was played: the cells behind the figures, for who wants to show some."""

    play: Play
    scores: ArenaScores
    edits: dict[str, list[Edit | None]]
    result: Json


def run_arena(
    folders: Sequence[Path],
    out: Path,
    settings: ArenaSettings,
    *,
    attacks: Sequence[str] | None = None,
    say: Callable[[str], None] = echo,
) -> Arena:
    """Plays the players of the runs and writes `out/arena.json`. `attacks`: of those without training only these.
    Raises `AotError` where a run is not one, not finished or damaged, an attack is unknown, or another process plays
    into the same folder. Several ranks share its cells, chunk by chunk; the first one writes."""
    runs = read_runs(folders)
    untrained = scripted_attackers(runs[0], attacks, settings.strengths)
    pool = pool_of(runs, [*untrained, *white_box_attackers(attacks or (), settings.pixels)])
    say = say if ranks.is_main() else lambda _: None
    if not ranks.is_main():
        ranks.barrier()  # the first one writes the photos that the others read
    game, scenes, notes = arena_scenes(runs, settings.scenes, out / PHOTOS)
    with held(out) if ranks.is_main() else nullcontext():
        if ranks.is_main():
            ranks.barrier()
        if settings.best_response_updates:
            say(f"best responses: {len(pool.defenders)} trainings of {settings.best_response_updates} updates at most")
            pool = with_responses(pool, fresh_responses(pool, settings.best_response_updates, out, say))
        store = CellStore(out, say)
        play = Play(pool, game, scenes, settings, store, say)
        say("\n".join(plan_lines(play)))
        play.play()
        say(_spent(store))
        is_first = ranks.is_main()
        with ranks.alone():  # all cells stand: nobody needs the others any more
            arena = _figured(play, notes)
        if is_first:
            write_json(out / RESULT, arena.result)
    return arena


def _figured(play: Play, notes: Sequence[str]) -> Arena:
    pool, scores = play.pool, collect(play)
    semantic = [a for a in pool.attackers if a.threat == "semantic"]
    edits = {a.name: edits_of(play.attacks(Meeting(a)).attacks, play.scenes) for a in semantic}
    result = figures(play, scores, edits, [*notes, *_possible(play)])
    if play.settings.confidence:
        result["confidence"] = confidence(pool, scores, weighed(play))
    return Arena(play, scores, edits, result)


def collect(play: Play) -> ArenaScores:
    """All scores, from the cells."""
    pool = play.pool
    draws: dict[str, dict[str, Scores]] = {}
    for defender in play.asked_often:
        few = len(play.scenes_of(1))
        draws[defender.name] = {
            attacker.name: np.stack(
                [play.answers(defender, Meeting(attacker, n)).scores[:few] for n in range(play.settings.draws)]
            )
            for attacker in pool.attackers
            if attacker.kind != "white_box"
        }
    pairs = [(d, a, play.first_draw(a, d)) for d in pool.defenders for a in pool.attackers]
    attacked: dict[str, dict[str, Scores]] = {d.name: {} for d in pool.defenders}
    valid: dict[str, dict[str, Mask]] = {d.name: {} for d in pool.defenders}
    known = {met: play.attacks(met).attacks.valid for met in dict.fromkeys(met for *_, met in pairs)}
    for defender, attacker, met in pairs:
        attacked[defender.name][attacker.name] = play.answers(defender, met).scores
        valid[defender.name][attacker.name] = known[met]
    by_gradients = [attacker for attacker in pool.attackers if attacker.kind == "white_box"]
    return ArenaScores(
        units_of(play.scenes),
        [scene.question.kind for scene in play.scenes],
        {d.name: play.answers(d, None).scores for d in pool.defenders},
        attacked,
        valid,
        draws,
        {
            a.name: {
                source.name: {d.name: play.answers(d, play.first_draw(a, source)).scores for d in pool.defenders}
                for source in pool.defenders
            }
            for a in by_gradients
        },
    )


def weighed(play: Play) -> Confidences:
    """All confidences, from the cells."""
    met = {d: {a.name: play.first_draw(a, d) for a in play.pool.attackers} for d in play.pool.defenders}
    return Confidences(
        {d.name: play.confidences(d, None) for d in met},
        {d.name: {a: play.confidences(d, one) for a, one in by.items()} for d, by in met.items()},
    )


def figures(play: Play, scores: ArenaScores, edits: dict[str, list[Edit | None]], notes: Sequence[str]) -> Json:
    """`arena.json`, version 1. Shares are objects of value, ci (95 %), hits and n."""
    pool, settings = play.pool, play.settings
    return {
        "format": FORMAT,
        "version": VERSION,
        "toy": TOY if _is_toy(pool) else "",
        "runs": [_run(play, number) for number in range(len(pool.runs))],
        "notes": list(notes),
        "defenders": {
            d.name: {
                "run": d.run.label,
                "role": d.role,
                "iteration": d.iteration,
                "digest": d.digest,
                "also": [other.name for other in d.also],
                "clean": share_of(scores.clean[d.name] == 1, scores.clean[d.name] >= 0, scores.units),
            }
            for d in pool.defenders
        },
        "attackers": {a.name: _attacker(a, play, scores, edits.get(a.name, [])) for a in pool.attackers},
        "matrices": matrices(pool, scores, settings),
        "white_box_transfer": transferred(pool, scores, settings),
        "differences": differences(pool, scores, settings),
        "forgetting": forgetting(pool, scores, settings),
        "budgets": budgets(pool, scores, settings),
        "dynamics": dynamics(pool, scores),
        "edit_dynamics": edit_dynamics(pool, scores, edits),
        "transfer": transfer(pool, scores, settings),
        "profiles": profiles(pool, scores, settings),
        "protocol": {
            "scenes": len(play.scenes),
            "images": len(set(scores.units)),
            "held_out_of": pool.runs[0].label,
            "question_types": sorted(set(scores.question_types)),
            "answers": "greedy",
            "referee": pool.runs[0].recipe.referee.model_dump(mode="json"),
            "settings": settings.model_dump(mode="json"),
            "version": metadata.version("aot-vlm"),
        },
    }


def _possible(play: Play) -> list[str]:
    """Own photos: on how many scenes the families that put objects in or out have a fair attack, and why not."""
    if play.game.is_world:
        return []
    lines = []
    for attacker in play.pool.attackers:
        if attacker.kind == "scripted" and attacker.rule is not None and needs_objects(attacker.name):
            made = play.attacks(Meeting(attacker)).attacks
            reasons = Counter("" if v.valid else v.refused_by[0] for v in made.verdicts)
            lines.append(possible_line(attacker.name, reasons, "scenes attacked"))
    return lines


def _run(play: Play, number: int) -> Json:
    run = play.pool.runs[number]
    trained_on = list(run.recipe.scripted_attacks.families)
    said = {"label": run.label, "recipe": run.recipe.name, "seed": run.recipe.seed, "iterations": run.recipe.iterations}
    return {**said, "data": str(run.data) if run.data else None, "families": trained_on}


def _attacker(attacker: PoolAttacker, play: Play, scores: ArenaScores, edits: Sequence[Edit | None]) -> Json:
    met = dict.fromkeys(play.first_draw(attacker, defender) for defender in play.pool.defenders)
    sets = [play.attacks(meeting).attacks for meeting in met]
    valid, units = np.concatenate([made.valid for made in sets]), [unit for _ in sets for unit in scores.units]
    refusals: Counter[str] = Counter()
    for made in sets:
        refusals.update(made.refusals)
    entry: Json = {
        "kind": attacker.kind,
        "threat": attacker.threat,
        "run": attacker.run.label if attacker.run and attacker.folder else None,
        "iteration": attacker.iteration,
        "against": attacker.against or None,
        "also": [other.name for other in attacker.also],
        "valid": share_of(valid, valid | True, units),
        "refusals": dict(refusals),
    }
    return entry | ({"diversity": diversity_of(edits)} if attacker.threat == "semantic" else {})


def _is_toy(pool: Pool) -> bool:
    return all(run.recipe.players.defender.model == "miniature" for run in pool.runs)


def _spent(store: CellStore) -> str:
    told = []
    for kind in (ATTACKS, ANSWERS, CONFIDENCES):
        if made := store.made[kind]:
            told.append(f"{made} cells of {kind}, {store.seconds[kind] / made:.2f} s each")
    return f"  made {', '.join(told)}" if told else "  all cells were there"


def plan_lines(play: Play) -> list[str]:
    """What of the arena is there and what has to be made, in words, before anything is."""
    pool, store = play.pool, play.store
    attacks, pairs = play.meetings(), [(d, m) for d in pool.defenders for m in (None, *play.meetings(d))]
    there = sum(store.has(ATTACKS, play.attack_key(meeting)) for meeting in attacks)
    answered = sum(store.has(ANSWERS, play.answer_key(*pair)) for pair in pairs)
    edits = sum(len(play.scenes_of(m.draw)) for m in attacks)
    asked = sum(len(play.scenes if m is None else play.scenes_of(m.draw)) for _, m in pairs)
    weighed = [pair for pair in pairs if play.is_weighed(*pair)]
    known = sum(store.has(CONFIDENCES, play.confidence_key(*pair)) for pair in weighed)
    told = f"  confidences: {len(weighed)} cells; {known} cells are there"
    return [
        f"arena: {len(pool.attackers)} attackers x {len(pool.defenders)} defenders on {len(play.scenes)} "
        f"held-out scenes of {pool.runs[0].label}",
        f"  attacks: {len(attacks)} cells, {edits:,} attacks; {there} cells are there",
        f"  answers: {len(pairs)} cells, at most {asked:,} answers; {answered} cells are there",
        *[told] * bool(weighed),
    ]
