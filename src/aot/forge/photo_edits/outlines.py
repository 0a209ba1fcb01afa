"""Outlines for objects that came with a box only: cut out of it by GrabCut, and kept where little speaks against them
(*ours*).

What is found here serves to put the object elsewhere. To take it away its whole box is healed, as before: an outline
that misses a part would leave that part behind.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from pydantic import BaseModel, Field

from aot.data.photos.photo import Polygon
from aot.forge.funnel import Funnel
from aot.forge.photo_edits.bank import BankSettings, box_fault, outline_fault
from aot.forge.photo_edits.grabcut import Mask, in_box
from aot.forge.store import PhotoStore, Record
from aot.runs.files import write_json
from aot.runs.limits import within
from aot.types import Box, Image

OUTLINES = "outlines"
STAGE = "outline"
"""The funnel's stage that counts objects without an outline: kept where one was found."""


class OutlineSettings(BaseModel, frozen=True, extra="forbid"):
    """When a cut-out is believed; all *ours*."""

    margin: float = Field(0.15, gt=0, le=10)  # of background around the box, as a share of its longer side
    # Radii, in half boxes, of what is taken for the object from the start.
    cores: Annotated[tuple[float, float], within(0.01, 1)] = (0.2, 0.4)
    agreed: float = Field(0.9, ge=0, le=1)  # least IoU of what follows from these two: the start must not decide
    reached: float = Field(0.9, ge=0, le=1)  # least share of the box's width and height: boxes are tight
    least: float = Field(0.3, ge=0, le=1)  # of the box
    most: float = Field(0.92, ge=0, le=1)
    in_one: float = Field(0.9, ge=0, le=1)  # share of the main part
    at_edge: float = Field(0.5, ge=0, le=1)  # most of the box's edge that the object lies on


def find_outlines(folder: Path, bank: BankSettings, settings: OutlineSettings | None = None) -> Funnel:
    """Cuts out the objects without an outline of the store in `folder`, and leaves the outlines beside the photos.
    Returns how many such objects there were, and why which were refused: by the bank's checks, or by those here."""
    s, store, funnel = settings or OutlineSettings(), PhotoStore(folder), Funnel()
    shutil.rmtree(folder / OUTLINES, ignore_errors=True)  # of other photos that lay here
    (folder / OUTLINES).mkdir()
    for record in store:
        found: dict[int, list[list[list[float]]]] = {}
        bare = [n for n, thing in enumerate(record.things) if not thing.outline]
        reasons = {n: box_fault(record, record.things[n], bank) for n in bare}
        image = None if all(reasons.values()) else store.image(record.number)
        for n in bare:
            reason, thing = reasons[n], record.things[n]
            if image is not None and not reason:
                outline = cut_out(image, thing.box, s)
                cut = thing if isinstance(outline, str) else replace(thing, outline=(outline,))
                reason = outline if isinstance(outline, str) else outline_fault(record, cut, bank)
                if not reason:
                    found[n] = [polygon.round(2).tolist() for polygon in cut.outline]
            funnel.add(STAGE, reason)
        if found:
            write_json(_file(folder, record.number), found)
    return funnel


def with_outlines(folder: Path, records: Iterator[Record]) -> Iterator[Record]:
    """The records with the outlines that `find_outlines` left in their store's folder."""
    for record in records:
        path = _file(folder, record.number)
        if not path.exists():
            yield record
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        things = [
            replace(thing, outline=tuple(np.array(polygon, np.float32) for polygon in found[str(n)]))
            if str(n) in found
            else thing
            for n, thing in enumerate(record.things)
        ]
        yield replace(record, things=tuple(things))


def cut_out(image: Image, box: Box, settings: OutlineSettings) -> Polygon | str:
    """The outline of what `box` is drawn around, in px of the image, or what speaks against it: nothing_found,
    in_parts, share_of_box (too little or too much of it), not_reached (the box's sides), on_edge, unsure (another
    start gives another outline). Same arguments, same outline."""
    s = settings
    height, width = image.shape[:2]
    margin = max(4, round(s.margin * max(box.x1 - box.x0, box.y1 - box.y0)))
    x0, y0 = max(0, box.x0 - margin), max(0, box.y0 - margin)
    crop = image[y0 : min(height, box.y1 + margin), x0 : min(width, box.x1 + margin)]
    inner = Box(box.x0 - x0, box.y0 - y0, box.x1 - x0, box.y1 - y0)
    first, mask = (in_box(crop, inner, core) for core in s.cores)
    together = int((first | mask).sum())
    if not mask.any() or not together:
        return "nothing_found"
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    wide, high, area = (int(v) for v in stats[largest, cv2.CC_STAT_WIDTH:])
    if area < s.in_one * mask.sum():
        return "in_parts"
    if not s.least <= area / inner.area_px <= s.most:
        return "share_of_box"
    if wide < s.reached * (inner.x1 - inner.x0) or high < s.reached * (inner.y1 - inner.y0):
        return "not_reached"
    main = parts == largest
    if _on_edge(main[inner.y0 : inner.y1, inner.x0 : inner.x1]) > s.at_edge:
        return "on_edge"
    if int((first & mask).sum()) < s.agreed * together:
        return "unsure"
    outlines, _ = cv2.findContours(main.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = cv2.approxPolyDP(max(outlines, key=cv2.contourArea), 0.7, True).reshape(-1, 2)
    return outline.astype(np.float32) + np.array([x0 + 0.5, y0 + 0.5], np.float32)


def _on_edge(inside: Mask) -> float:
    """Share of a mask's border that is set."""
    border = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    return float(border.mean())


def _file(folder: Path, number: int) -> Path:
    return folder / OUTLINES / f"{number:07d}.json"
