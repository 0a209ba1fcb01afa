"""All families by name, made from the strengths of one settings object."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from aot.attacks.base.composition import Composition
from aot.attacks.base.family import Family
from aot.attacks.base.titles import JOINT
from aot.attacks.corruptions import Corruption, blurred, compressed, noisy, relit, shaded, toned, unevenly_lit
from aot.attacks.semantic.objects import (
    Implant,
    ObjectEdit,
    look_alike_name,
    mixed_name,
    related_name,
    unrelated_name,
)
from aot.attacks.semantic.overlays import Neutral, Occlusion
from aot.attacks.semantic.photos import OnPhotos, PhotoImplant, Wanted, is_look_alike, is_unrelated, limited
from aot.attacks.semantic.scale import Scale
from aot.attacks.semantic.texture import Texture
from aot.attacks.semantic.typographic import Typographic
from aot.attacks.strengths import Strengths
from aot.attacks.viewpoint import Viewpoint
from aot.errors import AotError
from aot.forge.objects import ObjectSource
from aot.forge.photo_edits.families import is_related

COMPOSITIONS = ("distractor+jpeg", "look_alike+blur", "texture+noise")
"""Those that are listed; any semantic family can be joined to any pixel one."""


def families(
    names: Sequence[str],
    strengths: Strengths | None = None,
    objects: ObjectSource | None = None,
    *,
    where: str = "attacks",
) -> list[Family]:
    """The families of these names, each once: semantic ones first, then pixel ones, in the order of `FAMILIES`, then
    compositions like "distractor+jpeg". `objects`: makes the edits of photos' objects; without it only the world's
    scenes have any. Raises `AotError` for an unknown name; `where`: the option or setting that holds the names."""
    s = strengths or Strengths()
    made = {family.name: family for family in (*_semantic(s, objects), *_pixel(s))}
    wanted, composed = set(names), {}
    for name in names:
        parts = name.split(JOINT)
        for part in parts:
            if part not in made:
                known = (*made, *COMPOSITIONS)
                close = difflib.get_close_matches(name, known, n=1)
                hint = (f"did you mean {close[0]}? " if close else "") + f"attacks: {', '.join(known)}"
                raise AotError(f"no such attack: {name!r}", where=where, hint=hint)
        if len(parts) > 2:
            raise AotError(f"no such attack: {name!r}", where=where, hint=f"two parts, as in {COMPOSITIONS[0]}")
        if len(parts) == 2:
            composed[name] = Composition(made[parts[0]], made[parts[1]])
    return [*(family for name, family in made.items() if name in wanted), *composed.values()]


def needs_objects(name: str) -> bool:
    """Whether the family of this name puts objects in or out, for which own photos take an `ObjectSource`."""
    return name.split(JOINT)[0] not in (*WITHOUT_OBJECTS, *PIXEL)


def _semantic(s: Strengths, objects: ObjectSource | None) -> list[Family]:
    pair_source = objects.pair_source if objects else None

    def photo(related: float, wanted: Wanted | None = None, mirrored: bool = False) -> PhotoImplant | None:
        return PhotoImplant(pair_source, s.tries, related, wanted, mirrored) if pair_source else None

    put_in = "An object is put in where it touches nothing that the question is about."
    goes = "An object that the question is not about goes, and the background closes over it."
    becomes = "An object that the question is not about is replaced by another one."
    like = "An object is put in that resembles a queried one, in kind or (in the world) in colour."
    unlike = "An object is put in that resembles no queried one."
    alike = "An object is put in that is easily taken for a queried one: another kind, in the world of its colour."
    flipped = "A look-alike, flipped horizontally."
    many = "From {} to {} objects are put in at once.".format(*s.several)
    add, remove, replace = (limited(pair_source, kind) for kind in ("add", "remove", "replace"))
    listed: list[Family] = [
        ObjectEdit("distractor", put_in, "add", s.related, s.tries, add),
        Implant("related", like, related_name, photo(1.0, is_related)),
        Implant("unrelated", unlike, unrelated_name, photo(0.0, is_unrelated)),
        Implant("look_alike", alike, look_alike_name, photo(1.0, is_look_alike)),
        Implant("mirrored", flipped, look_alike_name, photo(1.0, is_look_alike, True), mirrored=True),
        Implant("several", many, mixed_name(s.related), photo(s.related), *s.several),
        ObjectEdit("removal", goes, "remove", s.related, s.tries, remove),
        ObjectEdit("replacement", becomes, "replace", s.related, s.tries, replace),
        Scale(s.scale, pair_source),
        Texture(s.texture_levels, s.texture_bold, s.texture_share),
        Occlusion(s.occlusion_share, s.occlusion_places),
        Neutral(s.neutral_share, s.neutral_most),
        Typographic(s.typographic_share),
    ]
    return [OnPhotos(one, objects) if objects and needs_objects(one.name) else one for one in listed]


def _pixel(s: Strengths) -> list[Family]:
    noise = "Every value moved up or down by {:g} to {:g} of 255.".format(*s.noise_levels)
    blur = "Gaussian, sigma {:g} to {:g} px.".format(*s.blur_sigma_px)
    jpeg = "Compressed to quality {:g} to {:g}.".format(*s.jpeg_quality)
    light = "Contrast changed by {:.0%} to {:.0%}, lightness by half as much.".format(*s.light_share)
    shadow = "A band with soft edges loses {:.0%} to {:.0%} of its light.".format(*s.shadow_share)
    uneven = "Uneven light, haze or a colour cast: a smooth field changes up to {:.0%} to {:.0%} of the light.".format(
        *s.uneven_share
    )
    tones = "A gamma curve, other saturation or fewer levels, by {:.0%} to {:.0%}.".format(*s.tone_share)
    elsewhere = "Shifted by up to {:.0%} to {:.0%} of its side, turned and scaled a little.".format(*s.viewpoint_share)
    return [
        Corruption("noise", noise, s.noise_levels, noisy, "Noise of {:.0f}/255."),
        Corruption("blur", blur, s.blur_sigma_px, blurred, "Gaussian blur, sigma {:.1f} px."),
        Corruption("jpeg", jpeg, s.jpeg_quality, compressed, "JPEG of quality {:.0f}."),
        Corruption("brightness", light, s.light_share, relit, "Light changed by {:.0%}."),
        Corruption("shadow", shadow, s.shadow_share, shaded, "A shadow takes {:.0%} of the light."),
        Corruption("uneven_light", uneven, s.uneven_share, unevenly_lit, "Uneven light, up to {:.0%}."),
        Corruption("tones", tones, s.tone_share, toned, "Tones changed by {:.0%}."),
        Viewpoint(s.viewpoint_share, elsewhere),
    ]


WITHOUT_OBJECTS = ("texture", "occlusion", "neutral", "typographic")
"""Semantic families that put no object in or out: they need no source of objects on own photos."""
SEMANTIC = tuple(family.name for family in _semantic(Strengths(), None))
PIXEL = tuple(family.name for family in _pixel(Strengths()))
FAMILIES = (*SEMANTIC, *PIXEL, *COMPOSITIONS)
"""The names of all families that are listed."""
