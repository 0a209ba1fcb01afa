"""Parts of a response in which an option is named but not chosen (*ours*): rejections, comparisons, abbreviations.

All functions take text without markup (`text.unwrapped`) and return it without those parts.
"""

from __future__ import annotations

import re

# A clause ends at a full stop, a line's end, or a turn of the argument.
CLAUSE = re.compile(
    r"(?<=[.!?;。;!?])\s+|\n+|(?<=。)|(?:,\s*|(?<!\s)\s+)(?=(?:but|while|whereas|however|so|therefore|thus"
    r"|hence)\b)|,\s*(?=(?:as|which|with|making)\b)|(?<=[\u4e00-\u9fff]),\s*|(?<=[A-J⟧]),\s*(?=[\u4e00-\u9fff])"
    r"|,?(?=而是|但是?|所以|因此)|(?<!\s)\s+(?=(?:because|since|even though)\b|as (?:it|they|both|the)\b)"
)
# "Although A is near, B is nearer": what is conceded is not chosen.
CONCEDED = re.compile(
    r"(?:^|(?<=[.!?;\n] )|(?<=\n))(?:while|although|though|even though|whereas)\b[^,.!?;\n]*,|虽然[^,。!?\n]*,"
    r"|(?:如果|假如|若是)[^。!?\n]*?(?=但|不过|所以|因此|[。!?\n]|$)",
    re.IGNORECASE,
)
HYPOTHESIS = r"\bif\b(?!\s+(?:i|we|one|you|forced)\b)[^,.;!?\n]{0,80}\b(?:were|was|had|would)\b"
REJECTS = re.compile(
    r"\b(?:incorrect|wrong|inaccurate|false|unlikely|invalid|implausible|irrelevant|mistaken|cannot|neither|nor"
    r"|not that|in no way|by no means|premature|distractor|worst|second[- ]best|runner-up|a trap\b(?!-)|mistake|avoid"
    r"|less|least|(?:is|are)\s+out|tempt(?:ed|ing)|off\s+the\s+table|none\s+of|unlike|may\s+or\s+may|fails?|either|beware"
    r"|all\s+(?:but|except)|pass(?:es)? for|rul(?:e|es|ed|ing)\s+out|(?:has|have|had)\s+(?:no|little)|(?:ca|wo)n't"
    r"|would\s+(?:need|require|imply|mean)|(?:never|rather\s+not)\s+(?:choose|say|pick|select|answer|go)"
    r"|(?:one|some|you|people|many|others?)\b(?:\s+\w+)?\s+(?:might|may|could|would|often)"
    r"|no\s+(?:\w+\s+)?(?:evidence|support|sign|indication|basis)"
    r"|(?:is|are|was|be|does|do|did|will|would|could|can|has|have|should)(?:\s+(?:also|clearly|simply|therefore))?"
    r"(?:\s+not|n't))\b|\w's not\b|\b(?:eliminat(?!ion)|exclud|reject|dismiss|contradict|discard)\w*"
    rf"|{HYPOTHESIS}|(?<!no )(?<!without )(?<!without a )\bdoubt(?:ful)?\b|不太可能|没有一|错误"
    r"|ではな[いく]|ではありません|じゃな[いく]|でない|間違|不正解|不正确|不对|不符|排除|不是|不可能|不能|不应|不选|不认为",
    re.IGNORECASE,
)
DENIED = re.compile(
    r"(?:,\s*|\band\s+|\bbut\s+)?(?:n't|\b(?:not|rather\s+than|instead\s+of|unlike|contrary\s+to|without"
    r"|anything\s+but))\s+(?:(?:the\s+)?(?:option|choice|answer|letter|point|box|image"
    r"|picture)\s+)?(?:\(?(?:(?-i:[A-J])\b|⟦-?\d+⟧)\)?|(?:(?!\bbut\b)[^,.;()\n]){0,40}\([A-J]\))|不(?:是|选"
    r"|应该?选?|该选?|能选?|可能是)\s*(?:选项)?\(?(?:[A-J](?![A-Za-z])\)?|⟦-?\d+⟧)",
    re.IGNORECASE,
)
# "Looking at (A), ...", "let's consider option B": looked at, not chosen.
CONSIDERED = re.compile(
    r"\b(?:consider|analy[sz]e|analy[sz]ing|examin|evaluat|check|compar|inspect|look(?:s|ed|ing)?\s+at|(?:start"
    r"|begin)\w*\s+with|regarding|as\s+for)\w*\s+(?:the\s+)?(?:(?:options?|choices?|answers?"
    r"|statements?)\s+)?\(?(?:(?-i:[A-J])\b|⟦-?\d+⟧)\)?[^,.;!?\n]*",
    re.IGNORECASE,
)
THAN = re.compile(
    r"\b(?:than|compared\s+(?:to|with))\b[^.;!?\n]*?(?=,\s*\(?(?:[A-J]|⟦\d+⟧)\)?\s+(?:is|looks|seems)\b|[.;!?\n]|$)",
    re.IGNORECASE,
)
ABBREVIATION = re.compile(r"\b[A-Z](?:/[A-Z])+\b|\b(?![AP]\.M\.)(?:[A-Z]\.){2,}")
LIST = re.compile(
    r"\(?\b[A-HJ]\b\)?(?:\s*,\s*(?:and\s+|or\s+)?\(?[A-HJ]\b\)?)+(?:\s*,?\s*(?:and|or)\s+\(?[A-HJ]\b\)?)?"
    r"|\(?\b[B-HJ]\b\)?\s+(?:and|or|or\s+even)\s+\(?[A-HJ]\b\)?|\(?\bA\)?\s+(?:and|or)\s+\(?[B-HJ]\b\)?"
    r"|\(?(?<![A-Za-z])[A-HJ]\)?\s*(?:和|或者?|与|还是|、|及)\s*\(?[A-HJ](?![A-Za-z])\)?|\(?\b[A-HJ]\)?\s+(?:vs\.?"
    r"|versus)\s+\(?[A-HJ]\b|不是[A-HJ]就是[A-HJ]|(?<![\w'])[A-J](?:\s*[<>]\s*|\s+to\s+)[A-J](?![\w'])"
    r"|(?<![\w+])[A-J](?:\s?\+\s?[A-J])+(?![\w+])|\b1\s?[.、]\s?[A-J]\b.{0,80}\b2\s?[.、]\s?[A-J]\b"
)
QUESTION = re.compile(
    r"(?:^|(?<=[.!?\n:]))\s*(?:what|which|who|where|when|why|how|is|are|was|were|do|does|did|can|could"
    r"|should)\b[^.!?\n]*[?]|[^。!?\n]*(?:吗|还是|是不是|是否|有没有)[^。!?\n]*[?]",
    re.IGNORECASE,
)
IN_BRACKETS = re.compile(r"\(\s*[A-J](?:\s*(?:,|/|,?\s*\b(?:and|or))\s*[A-J]\b)+\s*\)")
LABELS = re.compile(
    r"\b(?i:points?|boxes|images?|pictures?|locations?|objects?|regions?|options?"
    r"|labell?ed)\s+\"?[A-J]\"?(?:\s*,\s*\"?[A-J]\b\"?)*\s*,?\s+and\s+\"?[A-J]\b\"?"
)
NONE = re.compile(
    r"\bnone of\b|\b(?:is|are|was) not (?:listed|available|(?:in|on|from) the|among|one of|provided|given"
    r"|an option)|\bno correct (?:answer|option|choice)|\bno (?:option|choice|answer) (?:matches|is correct"
    r"|fits)|\bnot match any\b|\b(?:error|mistake|issue|typo) (?:in|with) (?:the|this) (?:question|problem"
    r"|given|options?|choices?|answer)|\b(?:all|any) (?:of the |the )?(?:\w+ )?(?:images|options|choices"
    r"|points)\b[^.\n]{0,40}\b(?:could|equally)\b|\bthey all (?:could|have|seem|appear)\b|不在(?:选择|选项|答案)"
    r"|以上都不|都不(?:是|对|正确)|没有(?:正确|合适)",
    re.IGNORECASE,
)
NEITHER = re.compile(r"\bneither\b", re.IGNORECASE)


def rejects_all(text: str, options: tuple[str, ...]) -> bool:
    """ "None of the choices is right", "neither A nor B" of two: no option that such a text names is chosen."""
    if any(re.search(r"\b(?:none|neither|all)\b|都", option, re.IGNORECASE) for option in options):
        return False
    return NONE.search(text) is not None or (len(options) == 2 and NEITHER.search(text) is not None)


def without_lists(text: str) -> str:
    """The text without "(A, B, C or D)" and "points A and B", which describe the question."""
    return LABELS.sub(" ", IN_BRACKETS.sub(" ", ABBREVIATION.sub(" ", text)))


def kept(text: str) -> str:
    """The text without rejecting clauses, comparisons ("than B"), denied letters ("not A"), abbreviations ("N/A"), and
    options that are only looked at."""
    text = CONSIDERED.sub(" ", DENIED.sub(" ", ABBREVIATION.sub(" ", CONCEDED.sub(" ", text))))
    text = THAN.sub(" ", text)
    pieces, start = [], 0
    for turn in (*CLAUSE.finditer(text), None):
        end = turn.start() if turn else len(text)
        clause = text[start:end]
        pieces += [" " if REJECTS.search(clause) else clause, turn[0] if turn else ""]
        start = turn.end() if turn else end
    return "".join(pieces)


def without_questions(text: str) -> str:
    """The text without the questions that it asks ("Is it red or blue?")."""
    return QUESTION.sub(" ", text) if "?" in text else text


def lists_letters(text: str) -> bool:
    """ "A, B, C or D", "both A and C": letters that are named together, so none is chosen alone."""
    return LIST.search(text) is not None


ORDINAL = r"(?:first|second|third|fourth|fifth|sixth|last|left|right|top|bottom|upper|lower|middle)"
COORDINATED = re.compile(
    rf"\b(?:the\s+)?{ORDINAL}(?:\s*,?\s*(?:and|or|nor|,)\s*(?:the\s+)?{ORDINAL})+\b(?:\s+(?:images?|pictures?"
    rf"|options?|ones?))?",
    re.IGNORECASE,
)


def lists_words(text: str) -> str:
    """The text without "the second or the third image": named together, so none is chosen alone."""
    return COORDINATED.sub(" ", text)
