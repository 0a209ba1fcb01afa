"""`audit.html`: one file that needs nothing else. The same audit gives the same bytes: it carries no time of day."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from aot.attacks.base.titles import AGAINST
from aot.audit.charts import COLOURS, GROUP_TITLES, accuracy_figure, budget_figure
from aot.backends.asking.sight import unmoved_note
from aot.report.gallery import Card
from aot.report.page import Tile, environment, flatten
from aot.report.words import duration, interval, percent, signed_points
from aot.runs.files import replacing

PAGE = "audit.html"
KINDS_SHOWN = 24
STATUSES = ("answered", "unparsed", "truncated", "refused", "error")
Json = dict[str, Any]


def build_page(result: Json, cards: Sequence[Card], out: Path) -> Path:
    """Writes `out/audit.html` from `audit.json` and the gallery's cards, and returns its path."""
    page = environment("aot.audit").get_template(PAGE).render(_context(result, cards))
    with replacing(out / PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")  # half characters of damaged replies
    return out / PAGE


def _context(result: Json, cards: Sequence[Card]) -> Json:
    return {
        "result": result,
        "name": short_name(result["defender"]["name"]),
        "unmoved": unmoved_note(result["unmoved"]) if result["unmoved"] else "",
        "headline": headline(result).replace(" %", "\u00a0%"),
        "summary": summary_line(result),
        "caveats": caveats(result),
        "tiles": tiles(result),
        "groups": [
            (title, COLOURS[group], _members(result, group), result["worst_case"][group])
            for group, title in GROUP_TITLES.items()
            if group in result["worst_case"]
        ],
        "accuracy_wide": accuracy_figure(result),
        "accuracy_narrow": accuracy_figure(result, width=350),
        "budget_wide": budget_figure(result),
        "budget_narrow": budget_figure(result, width=350),
        "kinds": result["by_kind"][:KINDS_SHOWN],
        "heat": _heat(result),
        "transfers": _transfers(result),
        "made": _made(result),
        "statuses": _statuses(result),
        "cards": cards,
        "protocol": list(flatten(result["protocol"])),
        "identity": list(flatten(result["defender"]["identity"])),
        "costs": costs(result),
    }


def _transfers(result: Json) -> dict[str, dict[str, Json]]:
    """By the model whose gradients made the images, and by attack: the attack's figures. Empty for a single model."""
    found: dict[str, dict[str, Json]] = {}
    for name, attack in _members(result, "perturbation").items():
        own, against, model = name.partition(AGAINST)
        if against:
            found.setdefault(model, {})[own] = attack
    return found


def _members(result: Json, group: str) -> Json:
    return {name: attack for name, attack in result["attacks"].items() if attack["group"] == group}


def short_name(name: str) -> str:
    """A folder's own name; anything else as it is."""
    return Path(name).name or name if "://" not in name else name


def deceived(result: Json) -> tuple[str, Json] | None:
    """The group that the verdict is about, and its worst case: edits, where any could be asked."""
    for group in GROUP_TITLES:
        worst = result["worst_case"].get(group)
        fair = sum(a["fair"] for a in result["attacks"].values() if a["group"] == group)
        if worst and worst["success"]["n"] and fair:
            return group, worst
    return None


_ACTS = {
    "edit": ("Fair edits", "deceive"),
    "corruption": ("Corrupted images", "mislead"),
    "composed": ("Fair edits of images that are then corrupted", "mislead"),
    "perturbation": ("Perturbed pixels", "mislead"),
}


def headline(result: Json) -> str:
    """The verdict in one sentence, computed from the metrics, whichever way they point."""
    name = short_name(result["defender"]["name"])
    found = deceived(result)
    if found is None:
        read = result["clean"]["accuracy"]["n"]
        why = "no answer to a clean image could be read" if not read else "no attack was asked about a right answer"
        return f"Nothing can be said about {name}: {why}."
    group, worst = found
    success = worst["success"]
    what, verb = _ACTS[group]
    span = interval_of(success, " %")
    if success["hits"] == 0:
        return f"{what} turned none of the {success['n']:,} answers that {name} gets right ({span})."
    return f"{what} {verb} {name} on {percent(success['value'])} % of the questions that it answers rightly ({span})."


def interval_of(share: Json, unit: str = "") -> str:
    """ "95 % interval 31.0–37.5", or why there is none."""
    if share["ci"] is None:
        return f"no 95 % interval: {share['ci_absent']}"
    return f"95 % interval {interval(share['ci'])}{unit}"


def summary_line(result: Json) -> str:
    plan, found = result["plan"], deceived(result)
    parts = [f"{plan['scenes_asked']:,} questions", f"{plan['images']:,} images"]
    if found:
        parts.append(f"{len(found[1]['attacks'])} kinds of {GROUP_TITLES[found[0]].lower().removesuffix('s')}")
    tries = f"{plan['draws']} tries each" if plan["draws"] > 1 else "one try each"
    return " · ".join([*parts, tries, f"{result['costs']['questions']:,} answers"])


def caveats(result: Json) -> list[str]:
    """What a reader must know before the metrics."""
    found = deceived(result)
    told = []
    if found and found[0] != "edit" and "edit" in result["worst_case"]:
        told.append(
            "No fair edit could be made of these scenes (no boxes, or nothing to put in): the verdict is about "
            f"{found[0]}s, which say how robust the model is, not how easily it is deceived."
        )
    if made_of := result["protocol"].get("transfer_from"):
        named = ", ".join(map(short_name, made_of))
        told.append(
            f"Perturbations were made by the gradients of {named} and asked of this model (transfer): what its own "
            "gradients would find is measured only where it is one of them."
        )
    clean, chance = result["clean"]["accuracy"], result["clean"]["chance"]
    if clean["ci"] and clean["ci"][1] < chance:
        told.append(
            f"The clean accuracy of {percent(clean['value'])} % is below that of guessing ({percent(chance)} %): look "
            "at what the model says before anything is concluded from its few right answers."
        )
    elif clean["ci"] and clean["ci"][0] <= chance:
        told.append(
            f"The clean accuracy of {percent(clean['value'])} % cannot be told from guessing ({percent(chance)} %): a "
            "model that guesses is not deceived, and its successes mean little."
        )
    unparsed = sum(n for counts in _every_status(result) for status, n in counts.items() if status != "answered")
    if unparsed:
        told.append(
            f"{unparsed:,} of {result['costs']['questions']:,} replies hold no answer that can be read (see the "
            "statuses below). They count neither as right nor as wrong: a model that does not answer is not deceived."
        )
    if unverified := sum(a["unverified"] for a in result["attacks"].values()):
        told.append(
            f"Of {unverified:,} edits the boxes are untouched, but whether the question still has the same answer "
            "could not be worked out again (the question came with the data, or a trained attacker painted). Look at "
            "the pairs."
        )
    plan = result["plan"]
    full = plan["questions"] * (1 + plan["attacks"] * plan["draws"])
    if plan["requests"] < full:
        told.append(
            f"The budget of {plan['requests']:,} questions covers {plan['scenes_asked']:,} of {plan['questions']:,} "
            f"scenes; without it {full:,} would be asked at most."
        )
    if result["refused_rows"]["n"]:
        told.append(f"{result['refused_rows']['n']:,} rows of the data were refused; the rest was audited.")
    return told


def _every_status(result: Json) -> list[dict[str, int]]:
    return [result["clean"]["statuses"], *(a["statuses"] for a in result["attacks"].values())]


def tiles(result: Json) -> list[Tile]:
    clean = result["clean"]["accuracy"]
    found = [_accuracy_tile("Clean accuracy", clean)]
    for group, title in GROUP_TITLES.items():
        if worst := result["worst_case"].get(group):
            found.append(_accuracy_tile(f"Under all {title.lower()}", worst["accuracy"]))
    edits = [a["integrity"] for a in result["attacks"].values() if a["group"] == "edit"]
    if made := sum(e["n"] for e in edits):
        fair = sum(e["hits"] for e in edits)
        found.append(Tile("Fair edits", percent(fair / made), note=f"{fair:,} of {made:,} passed the referee"))
    took = duration(result["costs"]["seconds"]) if result["costs"]["seconds"] else ""
    note = f"{took} of model time" if took else f"{result['costs']['requests']:,} requests"
    found.append(Tile("Answers", f"{result['costs']['questions']:,}", "", note=note))
    return found


def _accuracy_tile(title: str, share: Json) -> Tile:
    if share["value"] is None:
        return Tile(title, "–", "", note="nothing measured")
    return Tile(title, percent(share["value"]), note=interval_of(share))


def _heat(result: Json) -> float:
    """The largest share in the table of kinds: its deepest colour."""
    every = [s["value"] or 0.0 for row in result["by_kind"] for s in row["success"].values()]
    return max([*every, 0.01])


def _made(result: Json) -> list[tuple[str, Json, list[tuple[str, int, float, int]]]]:
    """What became of each attack's draws: (title, metrics, [(word, count, percent of the draws, colour number)])."""
    words: list[str] = []
    rows = []
    for attack in result["attacks"].values():
        reasons = attack["impossible"] | attack["refused_by_referee"]
        words += [word for word in reasons if word not in words]
        total = max(1, attack["fair"] + sum(reasons.values()))
        bars = [("asked", attack["fair"], 100 * attack["fair"] / total, -1)]
        bars += [(w, n, 100 * n / total, min(words.index(w), 6)) for w, n in reasons.items()]
        rows.append((attack["title"], attack, [bar for bar in bars if bar[1]]))
    return rows


def _statuses(result: Json) -> list[tuple[str, list[int]]]:
    rows = [("Clean", result["clean"]["statuses"])]
    rows += [(attack["title"], attack["statuses"]) for attack in result["attacks"].values()]
    return [(title, [counts.get(status, 0) for status in STATUSES]) for title, counts in rows]


def costs(result: Json) -> list[tuple[str, str]]:
    spent = result["costs"]
    rows = [("Answers", f"{spent['questions']:,}"), ("Requests, retries included", f"{spent['requests']:,}")]
    rows += [(f"Fault: {word}", f"{n:,}") for word, n in spent["faults"].items()]
    for kind, label in (("prompt", "Prompt tokens"), ("visual", "of these visual"), ("completion", "Answer tokens")):
        if n := spent[f"{kind}_tokens"]:
            rows.append((label, f"{n:,}"))
    if spent["seconds"]:
        rows.append(("Model time, summed over answers", duration(spent["seconds"])))
    return rows


def terminal_table(result: Json) -> Table:
    """Accuracy and success in percent, one row an attack; at most 80 columns wide."""
    table = Table(
        caption="clean and attacked accuracy of the same scenes, first fair draw; success: right answers that some "
        "draw turned wrong, ± half of the 95 % interval; fair: attacks that the referee passed",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("Attack", style="bold", no_wrap=True)
    for head in ("clean", "attacked", "change", "success", "fair", "n"):
        table.add_column(head, justify="right", no_wrap=True)
    for group, title in GROUP_TITLES.items():
        members = _members(result, group)
        for name, attack in members.items():
            before, after, success = attack["clean_accuracy"], attack["attacked_accuracy"], attack["success"]
            change = signed_points(attack["difference"]["value"])
            fair = percent(attack["integrity"]["value"])
            cells = (percent(before["value"]), percent(after["value"]), change, _margin(success), fair, str(after["n"]))
            table.add_row(escape(name), *cells)
        if len(members) > 1:
            worst = result["worst_case"][group]
            drop = signed_points(worst["difference"]["value"])
            both = (percent(worst["clean_accuracy"]["value"]), percent(worst["accuracy"]["value"]))
            end = (drop, _margin(worst["success"]), "", str(worst["accuracy"]["n"]))
            table.add_row(f"all {title.lower()}", *both, *end)
        table.add_section()
    return table


def _margin(share: Json) -> str:
    if share["value"] is None:
        return percent(None)
    margin = f"±{50 * (share['ci'][1] - share['ci'][0]):.1f}" if share["ci"] else f"({share['ci_absent']})"
    return f"{percent(share['value'])} {margin}"
