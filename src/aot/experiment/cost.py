"""An estimate of a unit's seconds, for the plan: from what its parts took in the miniature, by their sizes. *Ours.*"""

from __future__ import annotations

from aot.coevolve.recipes.stage_names import CLEAN_RL, SFT_SCRIPTED, best_response_targets
from aot.experiment.settings import BASELINES, ExperimentSettings

SFT_IMAGE_S, PGD_STEP_IMAGE_S, ANSWER_S, EDIT_S = 0.009, 0.004, 0.0014, 0.019
"""CPU seconds of one core: SFT an image, one step of PGD an image, an answer, an edit (made and judged)."""
GRPO_EDIT_S, DAPO_ANSWER_S = 0.0145, 0.00053
"""Of Flow-GRPO an edit of an update, of DAPO an answer of an update."""


def expected_seconds(settings: ExperimentSettings, unit: str) -> float:
    """Of one core, where nothing of the unit is finished. Rough: a factor of two off on other machines."""
    recipe, measure = settings.recipe_of(unit, 0), settings.measure
    scenes, names = recipe.game.held_out_scenes, settings.defenders_of(unit)
    answers = scenes * (1 + measure.draws * len(measure.families))
    pgd = min(measure.pgd_scenes, scenes) * len(measure.eps) * (measure.pgd_steps + 1)
    seconds = len(names) * (answers * ANSWER_S + pgd * PGD_STEP_IMAGE_S)
    grpo = recipe.attacker.flow_grpo
    updates = recipe.best_response_updates * len([name for name in names if name in best_response_targets(recipe)])
    edits = scenes * (updates > 0) * len(names)
    trained = {baseline.name: baseline.sft for baseline in recipe.baselines}
    if unit == BASELINES:
        if SFT_SCRIPTED in names:
            trained[SFT_SCRIPTED] = recipe.warm_up.model_copy(update={"steps": recipe.sft_scripted_steps})
        controls = recipe.iterations * (recipe.clean_rl_updates or recipe.dapo.updates) * (CLEAN_RL in names)
    else:
        trained |= {"warm_up": recipe.warm_up} | {f"hits {i}": recipe.hits for i in range(recipe.iterations)}
        controls = recipe.iterations * recipe.dapo.updates
        updates += recipe.iterations * grpo.updates
        edits += recipe.iterations * recipe.game.train_scenes * (2 + recipe.attacks.scripted_draws)
    seconds += controls * recipe.dapo.groups * recipe.dapo.group_size * DAPO_ANSWER_S
    seconds += updates * grpo.groups * grpo.group_size * GRPO_EDIT_S + edits * EDIT_S
    for sft in trained.values():
        seconds += sft.steps * sft.batch * SFT_IMAGE_S
        seconds += sft.steps * sft.batch * sft.pixel.share * sft.pixel.steps * PGD_STEP_IMAGE_S
    return seconds
