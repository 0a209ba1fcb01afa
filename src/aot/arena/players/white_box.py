"""White-box attacks on pixels in the arena: a row is one way to attack, by the gradients of each defender itself."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

from aot.arena.players.pool import PoolAttacker
from aot.attacks.white_box.attacker import PixelAttacker, pixel_attackers
from aot.attacks.white_box.settings import WHITE_BOX, PixelAttackSettings
from aot.attacks.white_box.within_ball import WithinBall
from aot.game.referee import Referee
from aot.players.base import Defender


def white_box_attackers(names: Sequence[str], settings: PixelAttackSettings) -> list[PoolAttacker]:
    """One a name and eps, called as the attack is ("pgd_8"); names of other attacks are passed over."""
    version = metadata.version("aot-vlm")
    found = []
    for name in (name for name in names if name in WHITE_BOX):
        for eps in settings.eps:
            one = settings.model_copy(update={"eps": (eps,)})
            identity = {"white_box": name, "settings": one.model_dump(mode="json"), "version": version}
            found.append(PoolAttacker(f"{name}_{eps:g}", "white_box", "pixel", identity, rule="norm"))
    return found


def eps_of(attacker: PoolAttacker) -> float:
    """In levels: 1/255."""
    return float(attacker.identity["settings"]["eps"][0])


def gradients_of(attacker: PoolAttacker) -> int:
    """The most gradients an image takes."""
    settings = PixelAttackSettings.model_validate(attacker.identity["settings"])
    return settings.gradients(attacker.identity["white_box"])


def open_white_box(attacker: PoolAttacker, defender: Defender) -> tuple[PixelAttacker, Referee]:
    """The attacker with this defender's gradients, and who judges it. Raises `AotError` for a defender without."""
    settings = PixelAttackSettings.model_validate(attacker.identity["settings"])
    (player,) = pixel_attackers([attacker.identity["white_box"]], defender, settings)
    return player, Referee([WithinBall([player])], any_size=True)
