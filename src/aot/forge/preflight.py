"""Checks before any pair is made: the models that edit photos are there, and the photos have something to ask about."""

from __future__ import annotations

import shutil
from pathlib import Path

from aot.data.photos.questions import names_something
from aot.data.tables.columns import columns_told
from aot.errors import AotError
from aot.forge.photo_edits.generated import check_generator
from aot.forge.photo_source import ATTACKER, PhotoPairSource, PhotoSettings
from aot.players.base_players import player_folder


def attacker_folder(settings: PhotoSettings) -> Path:
    return player_folder(settings.attacker_folder, "attacker", option=f"--set {ATTACKER}=FOLDER")


def check_editors(settings: PhotoSettings) -> None:
    """Raises `AotError` where the models that edit photos are not where the settings say; called before photos are
    read."""
    if settings.implanter == "attacker":
        attacker_folder(settings)
    if "generator" in (settings.extender, settings.implanter):
        check_generator(settings.generator_folder)


def check_asked(source: PhotoPairSource, data: Path | None, stored: Path) -> None:
    """Raises `AotError` where no photo has a question or a known label and no author writes questions. The photos
    `stored` so far are then removed, so that the same folder can be given again with what was missing."""
    labels = {*source.store.labels, *(thing.box.label for record in source.store for thing in record.things)}
    named = any(label and names_something(label) for label in labels)
    if not (source.author or named or any(record.fields["given"] for record in source.store)):
        hint = (
            "the boxes have no names, or numbers in their place: name what they hold"
            if labels
            else
            "give questions with the images (column `question`), boxes to ask about (their file may be in the folder "
            "above), or --grow FOLDER, a model that writes questions"
        )
        if told := columns_told(data):
            hint = f"{told}; else {hint}"
        shutil.rmtree(stored, ignore_errors=True)
        raise AotError(f"nothing can be asked about these {len(source)} images", where=str(data), hint=hint)
