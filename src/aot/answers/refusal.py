"""Texts that decline to answer (*ours*): "I'm sorry, but I can't help with that", "It cannot be determined"."""

from __future__ import annotations

import re

from aot.answers.text import marked, unwrapped

UNABLE = (
    r"can(?:not|'t|\s+not)|could(?:n't|\s+not)|won't|will\s+not|(?:unable|not\s+able)\s+to|(?:impossible"
    r"|not\s+possible|(?:difficult|hard|challenging|tough)(?:\s+for\s+\w+)?)\s+to|(?:refuse|decline)\s+to"
    r"|no\s+(?:definitive\s+|clear\s+)?way\s+(?:to|of)"
)
TO_ANSWER = (
    r"help|assist|answer(?:ed)?|determin(?:e|ed|ing)|identif(?:y|ied)|tell(?:ing)?|say|know(?:n|ing)?|judged?"
    r"|assess|provide|comply|fulfill?|respond|discuss|confirm|verify|decide|ascertain|conclude|choose|select|pick"
    r"|compare|make\s+(?:an?|any|the)\s+(?:\w+\s+)?(?:selection|choice|determination|judge?ment|decision|assessment|answer"
    r"|statement)|(?:see|view|access|process|analy[sz]e)\s+(?:the\s+|any\s+|this\s+|an\s+)?(?:image|picture"
    r"|photo)s?"
)
CHINESE = (
    r"(?:无法|不能|难以|没法|没有办法)[^。,.!?\n]{0,8}?(?:确定|判断|回答|理解|识别|查看|看到|提供|得出|得知|辨认"
    r"|选择)|(?:没有|缺乏|缺少)足够的?信息|(?:信息|条件)不足|不(?:太)?(?:清楚|知道|确定)|抱歉|对不起"
)
REFUSAL = re.compile(
    rf"\b(?:{UNABLE})\s+(?:\w+\s+){{0,2}}?(?:{TO_ANSWER})\b|\bdo(?:n't|\s+not)\s+(?:\w+\s+)?know\b"
    r"|(?:\bnot|n't|\bno|\binsufficient)\s+(?:\w+\s+)?(?:information|context)\b"
    rf"|\bnot\s+(?:sure|certain)\b|\bno\s+idea\b|\b(?:upload|send|share|attach)\w*\s+(?:me\s+)?(?:the|an?"
    rf"|your)\s+(?:image|picture|photo)\b|{CHINESE}",
    re.IGNORECASE,
)
# One of these is in all of them: searching for them first is what keeps the trainings' parser fast.
HINTS = ("not", "n't", "no ", "unable", "impossible", "insufficient", "decline", "refuse", "difficult", "hard ",
         "tough", "upload", "send", "shar", "attach", "challenging", "无法", "没", "不", "难以", "缺", "抱歉", "对不起")
# What it declines to say belongs to it ("... whether it is red"); what follows a turn ("but it looks blue") does not.
TURN = r"\b(?:but|however|though|yet|so|therefore|probably|likely|maybe|perhaps|possibly)\b|但|不过|所以|因此"
CLAUSE = re.compile(
    rf"(?:{REFUSAL.pattern}).*?(?=[.!?;\n](?:\s|$)|。|{TURN}|$)",
    re.IGNORECASE | re.DOTALL,
)
SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+|(?<=。)")
AFTER_ALL = re.compile(
    rf"\W*(?:{TURN}|still|nevertheless|if i (?:had|have|must|were)|my best guess|i would guess|i(?:'d| would) say)",
    re.IGNORECASE,
)
# Somebody in the picture who cannot do something declines nothing, nor does what is quoted or asked.
OTHERS = re.compile(
    r"\b(?:he|she|they|who|(?:the|a|this|that)\s+(?:man|woman|person|people|boy|girl|child|dog|cat|animal|driver"
    r"|player))\s+(?:\w+\s+)?$",
    re.IGNORECASE,
)
ECHOED = re.compile(
    r"\"[^\"\n]{0,400}\"|^\s*(?:the\s+)?(?:question|options?|choices|问题|题目|选项)\s*:.*$|[^.!?\n]{0,400}[?]",
    re.IGNORECASE | re.MULTILINE,
)
POLITE = re.compile(
    r"[^.!?\n]*\?|\b(?:i'm|i|it|am|is|be|that|this|sorry|unfortunately|apologi[sz]e|but|there|however|an? (?:ai"
    r"|assistant|language model)|as|ai|(?:language )?model|assistant)\b|[我这那您,]",
    re.IGNORECASE,
)


def abstains(text: str) -> bool:
    """Whether the last box, else tag, holds nothing but a question mark, offered as an answer: always a refusal."""
    content = marked(text) if "?" in text or "\uff1f" in text else None
    return content is not None and unwrapped(content).strip(" .\n") == "?"


def refuses(text: str) -> bool:
    """Whether the text declines somewhere. Only where it gives no answer is that a refusal."""
    lower = text.lower()
    if not any(hint in lower for hint in HINTS):
        return False
    return any(not OTHERS.search(text[max(0, m.start() - 40) : m.start()]) for m in REFUSAL.finditer(text))


def declines(text: str) -> bool:
    """Whether the one who writes declines: in their own words, not in a question or an option that they repeat."""
    return refuses(text) and refuses(ECHOED.sub(" ", text))


def only_refuses(text: str) -> bool:
    """Whether nothing but words of courtesy is left without the declining clauses."""
    return refuses(text) and not re.search(r"\w", POLITE.sub(" ", without_refusals(text)))


def without_refusals(text: str) -> str:
    """The text without its declining clauses, where options may be named that it does not choose."""
    return CLAUSE.sub(" ", text) if refuses(text) else text


def despite_refusals(text: str) -> str:
    """What a text that declines says all the same: behind a turn ("..., but it looks blue"). The rest describes."""
    if not refuses(text):
        return text
    said, before = [], False
    for sentence in SENTENCE.split(text.strip()):
        declining = refuses(sentence)
        if declining:
            parts = re.split(TURN, sentence, flags=re.IGNORECASE)
            said += (
                parts[max(n for n, part in enumerate(parts) if refuses(part)) + 1 :]
                if any(map(refuses, parts))
                else []
            )
        elif before and AFTER_ALL.match(sentence):
            said.append(sentence)
        before = declining
    return "\n".join(said)
