"""A friendly game to look at: a few scenes of the miniature world, any two players, every episode shown.

*Ours.* The scripted players are instant and exact: `best_of_8` against `shortsighted_reader` is the method's
game in a second, and shows what the trained players have to learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image as PillowImage
from rich.table import Table

from aot.attacks.base.family import FamilyAttacker
from aot.attacks.families import families
from aot.attacks.judging.referees import referees
from aot.game.episodes import play
from aot.game.referee import Referee, RefereeSettings
from aot.miniature.scripted import AlwaysLetter, BestOfK, Noise, Oracle, RandomDistractor, WorldReader
from aot.players.base import Attacker, Defender
from aot.players.base_players import player_folder
from aot.types import Answer, EditKind, Episode
from aot.world.edits import WIDE_KINDS
from aot.world.preserved import world_referee
from aot.world.scenes import draw_scenes

SCRIPTED = ("random_distractor", "best_of_8", "noise", "shipped")
"""Attackers besides the families of `aot.attacks`, and folders of trained ones."""
DefenderName = Literal["shortsighted_reader", "world_reader", "oracle", "always_a", "shipped"]


def play_scripted(
    attacker: str, defender: DefenderName, *, scenes: int, seed: int, kind: EditKind = "any"
) -> list[Episode]:
    """One episode on each of `scenes` drawn scenes, with edits of this `kind`; a family's attacks are of its own, and
    judged by its own rule. Same arguments: same episodes. Raises `AotError` for an unknown attacker."""
    is_folder = Path(attacker).is_dir()
    chosen = [] if attacker in SCRIPTED or is_folder else families([attacker], where="--attacker")
    drawn, answering = draw_scenes(scenes, seed, "test"), make_defender(defender)
    if chosen:
        rules = referees(RefereeSettings(), photos=False)
        return play(drawn, FamilyAttacker(chosen[0]), rules[chosen[0].rule], answering, seed=seed)
    referee = world_referee(RefereeSettings(wide_edits=is_folder or kind in WIDE_KINDS))
    return play(drawn, make_attacker(attacker, referee, answering), referee, answering, seed=seed, kind=kind)


def make_defender(name: DefenderName) -> Defender:
    if name == "shipped":
        from aot.players.defender.qwen import QwenDefender

        return QwenDefender.load(player_folder("miniature", "defender"), name="shipped")
    if name == "oracle":
        return Oracle()
    return (
        AlwaysLetter("A") if name == "always_a" else WorldReader(shortsighted=name == "shortsighted_reader")
    )


def make_attacker(name: str, referee: Referee, defender: Defender) -> Attacker:
    if name == "shipped" or name not in SCRIPTED:
        from aot.players.attacker.edit_attacker import EditAttacker

        where = "miniature" if name == "shipped" else name
        return EditAttacker.load(player_folder(where, "attacker", option="--attacker FOLDER"), name=Path(name).name)
    if name == "best_of_8":
        return BestOfK(RandomDistractor(), 8, referee, defender)
    return Noise() if name == "noise" else RandomDistractor()


def episode_table(episodes: Sequence[Episode]) -> Table:
    """A row a episode: question, edit, the referee's word, the answer before and after."""
    table = Table(show_lines=False)
    for column in ("Question", "Edit", "Referee", "Before", "After"):
        table.add_column(column)
    for episode in episodes:
        question = episode.scene.question
        word = "fair" if episode.verdict.valid else f"[red]{', '.join(episode.verdict.refused_by)}[/red]"
        before, after = (_told(given[:1], question.options) for given in (episode.clean_answers, episode.answers))
        colour = "green" if episode.success else "default"
        edit = episode.attack.instruction or episode.attack.kind
        table.add_row(question.text, edit, word, before, f"[{colour}]{after}[/{colour}]")
    return table


def score_line(episodes: Sequence[Episode]) -> str:
    """What the episodes add up to, in a sentence."""
    right = sum(b.clean_answers[0].choice == b.scene.question.answer for b in episodes)
    fair, won = sum(b.verdict.valid for b in episodes), sum(b.success for b in episodes)
    return f"{len(episodes)} scenes: {right} answered rightly when clean; {fair} fair attacks, {won} won"


def save_pictures(episodes: Sequence[Episode], folder: Path, *, scale: int = 4) -> None:
    """Clean and attacked image side by side, one PNG a episode, enlarged so that a pixel can be seen."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, episode in enumerate(episodes, 1):
        pair = np.concatenate([episode.scene.image, episode.attack.image], axis=1)
        size = (pair.shape[1] * scale, pair.shape[0] * scale)
        picture = PillowImage.fromarray(pair).resize(size, PillowImage.Resampling.NEAREST)
        picture.save(folder / f"{number:04d}_{'fair' if episode.verdict.valid else 'refused'}.png")


def _told(answers: Sequence[Answer], options: Sequence[str]) -> str:
    """The option that was chosen; the status where none was."""
    return next((options[a.choice] if a.choice is not None else a.status for a in answers), "")
