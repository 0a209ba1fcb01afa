"""What README shows of an experiment, written into it by the command: figure, short table, what holds. *Ours.*"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aot.errors import AotError
from aot.experiment.settings import PIXEL_VARIANT
from aot.experiment.table import headline_rows, in_markdown, sentences
from aot.runs.files import read_whole, replacing

Json = dict[str, Any]
BEGIN, END = "<!-- experiment: begin -->", "<!-- experiment: end -->"
SHOWN = ("base", "clean_rl", "augment_all", "pgd_at_8", "sft_scripted", "sft_counterfactual", "newest/")
"""Defenders of the short table, or the beginning of their names: of each kind of baseline the strongest. Of the game
with a share of PGD the last one is shown, too."""
COLUMNS = {
    "defender",
    "clean",
    "worst case",
    "worst case, left-out families",
    "PGD 8/255",
    "fresh attacker",
    "CPU s",
    "AOT ahead, points (95 %)",
}


def short_table(summary: Json) -> str:
    """The table of the published shape: base, the baselines, the method's iterations."""
    names = [name for name in summary["defenders"] if name.startswith(SHOWN)]
    names += [name for name in summary["defenders"] if name.startswith(f"{PIXEL_VARIANT}/")][-1:]
    shown = summary | {"defenders": {name: summary["defenders"][name] for name in names}}
    rows = headline_rows(shown)
    kept = [i for i, head in enumerate(rows[0]) if head in COLUMNS]
    return in_markdown([[row[i] for i in kept] for row in rows])


def claims_in_words(summary: Json, variant: str = "newest") -> str:
    """Which claims hold in all seeds that were measured, and which do not: those about this variant, and those that are
    made about another one only."""
    own = [claim for claim in summary["claims"] if claim["variant"] == variant]
    said = {claim["claim"] for claim in own}
    own += [claim for claim in summary["claims"] if claim["claim"] not in said]
    told = []
    for holds, word in ((True, "Holds"), (False, "**Does not hold**")):
        if named := [f"{c['claim']} ({c['in_seeds']} of {c['of_seeds']})" for c in own if c["holds"] == holds]:
            told.append(f"{word} (means of so many seeds in favour): {'; '.join(named)}.")
    return " ".join(told)


def readme_part(summary: Json, folder: str) -> str:
    """Everything between the two marks. `folder`: where table and figure lie, seen from the file."""
    told = sentences(summary)[0]
    lines = [f"![Accuracy of every defender]({folder}/headline.svg)", "", told, ""]
    return "\n".join([*lines, short_table(summary), "", claims_in_words(summary)]) + "\n"


def write_into(path: Path, summary: Json, folder: Path) -> None:
    """Replaces what stands between the marks. Raises `AotError` where the file or its marks are missing."""
    hint = f"put these two lines where the part belongs: {BEGIN} and {END}"
    try:
        before = read_whole(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AotError(f"cannot be read ({error})", where=str(path), hint="give a Markdown file") from error
    head, begin, rest = before.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise AotError("the marks of the part are missing", where=str(path), hint=hint)
    part = readme_part(summary, _seen_from(path, folder))
    with replacing(path) as temporary:
        temporary.write_text(f"{head}{BEGIN}\n{part}{END}{tail}", encoding="utf-8")


def _seen_from(path: Path, folder: Path) -> str:
    try:
        return folder.resolve().relative_to(path.resolve().parent).as_posix()
    except ValueError:
        return folder.as_posix()
