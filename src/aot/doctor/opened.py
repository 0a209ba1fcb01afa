"""Whether a player's folder opens: its classes are known, its weights have their names and shapes, its processor reads
a question. Nothing of the weights is read: seconds at full size."""

from __future__ import annotations

import logging

from aot.doctor.finding import Finding
from aot.doctor.folders import base_settings, place_of
from aot.errors import AotError
from aot.players.attacker.editor_folder import Loading, read_editor
from aot.players.base_players import Role
from aot.players.hub import FETCH_AGAIN
from aot.players.model_folder import META, read_model, read_processor
from aot.players.settings import PlayerSettings


def opened(found: Finding, settings: PlayerSettings, role: Role) -> Finding:
    """What was found of a player whose files are all there; where it, or the base of its adapters, does not open, why.
    """
    place = place_of(settings, role)
    folder = place.folder
    if folder is None or found.state == "wrong":
        return found
    if (base := base_settings(settings, folder, role)) is not None:
        place = place_of(base, role)
        folder = place.folder
    if folder is None:
        return found
    noisy = logging.getLogger("transformers"), logging.getLogger("diffusers")
    levels = [logger.level for logger in noisy]
    try:
        for logger in noisy:
            logger.setLevel(logging.CRITICAL)
        if role == "attacker":
            read_editor(folder, Loading(device=META))
        else:
            read_processor(folder, read_model(folder, device=META, what="defender").config.model_type)
    except AotError as error:
        hint = error.hint or FETCH_AGAIN
        return Finding(found.check, error.message, "wrong", place.fetch if FETCH_AGAIN in hint else hint)
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)
    return found
