"""What a run is about to do, in a few lines: said before anything long begins."""

from __future__ import annotations

from aot.coevolve.recipes import Recipe
from aot.coevolve.scenes import Game


def plan(recipe: Recipe, game: Game) -> str:
    """Iterations, trainings, the size of the evaluation, the judge, and rows of the data that were refused."""
    dapo, attacker = recipe.dapo, recipe.attacker
    answers = f"{dapo.groups} x {dapo.group_size} answers"
    meetings = (recipe.iterations + 1 + recipe.clean_rl) * (recipe.evaluation.distractors + recipe.iterations + 2)
    lines = [
        f"plan: {recipe.iterations} iterations, {len(game.train_scenes(0))} training scenes each",
        f"  attacker: {attacker.method}, {attacker.steps} steps an iteration",
        f"  defender: DAPO ({dapo.engine}), {dapo.updates} updates of {answers} an iteration"
        + ("; the same on clean scenes as a control" if recipe.clean_rl else ""),
        f"  evaluation: at most {meetings * len(game.held_out):,} answers on {len(game.held_out)} held-out questions",
    ]
    if recipe.judge.player:
        tasks = [f"scores attacks for {', '.join(attacker.judged)}"] * bool(attacker.judged)
        tasks += ["scores answers in free text"] * game.free_text
        lines.insert(3, f"  judge: {recipe.judge.player} " + (" and ".join(tasks) or "has nothing to do"))
    if game.refused:
        lines.append(f"  data: {len(game.refused)} rows refused:")
        lines += [f"    {refusal}" for refusal in game.refused[:10]]
        lines += [f"    ... and {len(game.refused) - 10} more in refused.json"] * (len(game.refused) > 10)
    return "\n".join(lines)
