"""What a run is about to do, in a few lines: said before anything long begins."""

from __future__ import annotations

from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import best_response_targets, defenders
from aot.coevolve.scenes.game import Game


def overview(recipe: Recipe, game: Game) -> str:
    """Iterations, trainings, the size of the evaluation, the judge, and rows of the data that were refused."""
    dapo, attacker = recipe.dapo, recipe.attacker
    answers = f"{dapo.groups} x {dapo.group_size} answers"
    columns = recipe.evaluation.distractors + recipe.iterations + 2
    meetings = len(defenders(recipe)) * columns + len(best_response_targets(recipe))
    lines = [
        f"plan: {recipe.iterations} iterations, {len(game.train_scenes(0))} training scenes each",
        f"  attacker: {attacker.method}, {attacker.steps} steps an iteration",
        f"  defender: DAPO ({dapo.engine}), {dapo.updates} updates of {answers} an iteration"
        + (f"; {recipe.clean_rl_updates or dapo.updates} on clean scenes as a control" if recipe.clean_rl else ""),
        f"  evaluation: at most {meetings * len(game.held_out):,} answers on {len(game.held_out)} held-out questions",
    ]
    if recipe.warm_up.steps:
        taught = f"the pairs in {recipe.pairs}" if recipe.pairs else "scripted attacks"
        taught += " and counterfactual pairs" * bool(recipe.warm_up.pairs)
        lines.insert(1, f"  warm-up: the defender's SFT, {recipe.warm_up.steps} steps on {taught}")
    if recipe.meta.rule != "newest":
        pool = len(recipe.scripted_attacks.families) or 1
        told = f"{pool} scripted and all trained attackers against all defenders so far, {recipe.meta.scenes} scenes"
        lines.insert(1, f"  opponents: {recipe.meta.rule} over {told}")
    if recipe.sft_scripted_steps:
        lines.insert(-1, f"  baseline: SFT on scripted attacks alone, {recipe.sft_scripted_steps} steps")
    for baseline in recipe.baselines:
        source = "the game's own attacks" if baseline.same_attacks else "fresh scenes"
        source += f" attacked by {', '.join(baseline.attacks.families) or 'distractors'}" if baseline.attacks else ""
        source += " and counterfactual pairs" * bool(baseline.sft.pairs)
        lines.insert(-1, f"  baseline: {baseline.name}, SFT on {source}, {baseline.sft.steps} steps")
    if best_response_targets(recipe):
        told = f"  fresh attackers: {len(best_response_targets(recipe))}, {recipe.best_response_updates} updates each"
        lines.insert(-1, f"{told}, against every final defender")
    if recipe.judge.player:
        tasks = [f"scores attacks for {', '.join(attacker.judged)}"] * bool(attacker.judged)
        tasks += ["scores answers in free text"] * game.free_text
        lines.insert(-1, f"  judge: {recipe.judge.player} " + (" and ".join(tasks) or "has nothing to do"))
    if not game.is_world:
        lines.append(f"  images: {_sizes(game)}")
    if game.refused:
        lines.append(f"  data: {len(game.refused)} rows refused:")
        lines += [f"    {refusal}" for refusal in game.refused[:10]]
        lines += [f"    ... and {len(game.refused) - 10} more in refused.json"] * (len(game.refused) > 10)
    return "\n".join(lines)


def _sizes(game: Game) -> str:
    shapes = {scene.image.shape for scene in (*game.train_scenes(0), *game.held_out)}
    sizes = sorted((height * width, f"{width}x{height}") for height, width, _ in shapes)
    if len(sizes) == 1:
        return f"{sizes[0][1]} px"
    return f"{len(sizes)} sizes from {sizes[0][1]} to {sizes[-1][1]} px; a batch of the attacker's is of one size"
