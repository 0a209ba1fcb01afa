"""How responses are written: thoughts, boxes, tags, LaTeX and markdown around the words."""

from __future__ import annotations

import re
import unicodedata

LONGEST, REST, FIRST_CUES, MOST_CUES = 20_000, 1_000, 5, 40
"""Characters of a response that are read, characters after a cue, first and last cues (where it repeats itself)."""

_NAMES = (
    "think|thinking|thought|thoughts|reasoning|reason|rationale|reflection|analysis|scratchpad|cot|seed:think|summary"
    "|caption|antthinking|internal_monologue|inner_thoughts?|unused94"
)
OPENING = re.compile(
    rf"<(?:{_NAMES})(?:\s[^<>\n]{{0,80}})?>|\[think(?:ing)?\]|◁think▷|<\|begin_of_thought\|>|<\|start_thinking\|>",
    re.IGNORECASE,
)
CLOSING = re.compile(
    rf"</(?:{_NAMES})\s*>|<unused95>|\[/think(?:ing)?\]|◁/think▷|<\|end_of_thought\|>|<\|end_thinking\|>",
    re.IGNORECASE,
)
# The next question, or turn; not this question, repeated after a line that ends with a colon ("Here is the answer:").
FURTHER = re.compile(
    r"(?<=[^\s:*])[*\s]{0,8}\n[\s#*]{0,12}(?:(?:Next\s+)?(?:[Qq]uestion|Q|Problem|Example(?=\s?\d)|Exercise|Prompt"
    r"|Human|User|Instruction|Input|问题|题目|問題文?|質問|設問|문제|질문|请回答|Frage|Pregunta|Pergunta|Domanda|Вопрос|Питання|Pytanie|Soal"
    r"|Pertanyaan|Câu\s+hỏi|السؤال|سؤال|प्रश्न|Soru|Vraag)(?:\s?\d{0,3}[\s*]{0,4}[:：]|\s?\d{1,3}(?:[.)]\s|[*\s]{0,4}\n))"
    r"|#\s?Question\s*\n|user\s*\n).*"
    r"|(?<=[^\s>])\s{0,4}(?:\[INST\]|<\|user\|>|<\|start_header_id\|>user|<start_of_turn>user).*",
    re.DOTALL,
)
CHANNEL = re.compile(r"<\|channel\|>")
FINAL = re.compile(
    r"<\|channel\|>\s*final\b[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>(.*?)(?=<\|(?:end|return|start|call"
    r"|channel)\|>|\Z)",
    re.DOTALL,
)
# The same channels where the special tokens were dropped in decoding; a prompt that was decoded with the response.
PLAIN_CHANNELS = re.compile(r"\A\s*(?:analysis(?=[A-Z\s]).*assistantfinal|A chat between .*\bASSISTANT:"
                            r"|(?:<s>\s?)?\[INST\].*\[/INST\])", re.DOTALL)
SPECIAL = re.compile(r"<(?:s|bos|pad)>|<｜[^｜<>]{1,40}｜>|<\|(?:im_start|begin_of_solution|end_of_solution)\|>")
# A response is over at the first of these; a base model goes on with questions of its own.
OVER = re.compile(
    r"</s>|<\|endofchunk\|>|<eo[a-z]>|<｜end[^｜<>]{1,40}｜>|<\|(?:im_end|endoftext|eot_id|return|end|END_OF_TURN_TOKEN)\|>|<end_of_turn>"
    r"|<(?:EOS|EOP|PAD)_TOKEN>"
)
_HELD = r"[^{}]*+"  # what a pair of braces holds, with further pairs in it
for _ in range(6):
    _HELD = rf"[^{{}}]*+(?:\{{{_HELD}\}}[^{{}}]*+)*+"
BOX = re.compile(rf"\\f?boxed\s*\{{({_HELD})\}}|<\|begin_of_box\|>(.*?)(?:<\|end_of_box\|>|\Z)", re.DOTALL)
_TAGS = "answer|ans|conclusion|final_answer"
TAG = re.compile(rf"<(?:{_TAGS})>(.*?)(?:</(?:{_TAGS})>|\Z)", re.DOTALL | re.IGNORECASE)
LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit|mathit)\s*\{([^{}]*)\}|\\(?:left|right|displaystyle|[,;!])")
# Not "\[O-]" of a molecule: a formula has no empty line.
CUT_FORMULA = re.compile(r"\\\[(?:(?!\\\]|\n\s*\n).)*\Z", re.DOTALL)
ROOT = re.compile(r"\\sqrt\s*\{([^{}]*)\}")
FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
DEGREES = re.compile(r"\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ\b)")  # not the brace that ends a box
QUOTED = re.compile(r"(?<![A-Za-z0-9])(?:(?:['\"<]|#{2,4})([A-Z])(?:['\">]|#{2,4})|<([A-Z])\s+\2>)(?![A-Za-z0-9])")
MATHS = re.compile(
    r"\\[()\[\]]|</?(?:b|strong|i|em|u|output|response|final|choice|result)>|</[A-J]>|__|\\(?:rm|bf|it|sf)\b"
    r"|(?<=[Cc]hoice)_|(?<=[Oo]ption)_|(?<=[Aa]nswer)_"
)
# "The answer is B" in other languages: a noun, up to four words or signs, none of which denies, and a capital letter.
_NOUNS = (
    r"\b(?:respuesta|réponse|resposta|risposta|antwort|antwoord|svaret|odpowied[źz]|odpověď|ответ|відповідь|отговор"
    r"|απάντηση|jawaban(?:nya)?|jibu|đáp\s+án|válasz|răspunsul|답|答え|正解|정답|الإجابة|الجواب|جواب|پاسخ|উত্তর|उत्तर|సమాధానం"
    r"|விடை|תשובה|(?:alternativa|opción|opção|opzione|option)\s+(?:corre\w+|juste))"
)
_DENIES = (
    r"(?:no|não|non|ne|nicht|keine|nie|niet|не|inte|tidak|bukan|si|sio|ou|o|or|oder|et|und|falsch\w*|in[ck]orr\w*"
    r"|erra\w+|fausse)\s"
)
_ELSEWHERE = (
    rf"(?<=[.!?] ){_NOUNS}\s*:\s*(?=\(?(?-i:[A-J])\)?\.?\s*(?:\n|$))"  # behind the last sentence
    rf"|{_NOUNS}(?:\s*[:=–—-](?!\s*\(?[A-J]\)?\.?\s*(?:\n|$))|\s?[はがの은는이가]"
    rf"|\s+(?!{_DENIES})(?-i:[^\W\dA-Z])\w{{0,14}}:?){{1,4}}\s*[:=]?\s*(?=[(\"]?(?-i:[A-J])(?![A-Za-z0-9'.]\w))"
)
_LETTER = r"[#>\-\s\"]{0,4}(?:(?:option\s+)?(?-i:[A-J])\s*[.):(]|\((?-i:[A-J])\))"
_BE = (
    r"(?:(?:is|are|be|would be|should be|must be|will be|seems to be|appears to be)\b|[:=]"
    r"|(?:[ ]|\n(?![-–—] ?\(?[A-J][.)]))[-–—]\s)"
)
CUE = re.compile(
    rf"{_ELSEWHERE}|"
    # A heading, "Final Answer", above a letter; "... is:" above a last line that begins with one.
    rf"(?:\A|(?<=\n))[ #>\-]*(?:[A-J\d][.):]\s*)?(?:(?:updated|final|correct|best)\s+){{0,2}}answer\s*:?\s*\n\s*"
    rf"(?={_LETTER}[^\n]*[^:\s] *(?:\n|\Z))|\bis\s*:\s*\n\s*(?={_LETTER}[^\n]*\Z)|"
    r"(?!(?:answer )?(?:option|choice):\s*\n[^\w\n]*A[.):][^\n]*(?:\n[^\w]*B[.):]|[a-z ,\"]\Z))"
    r"(?<!each )(?<!every )(?<!following )(?<!possible )(?:answer|option|choice)\"?\s*"
    r"(?:letter\s*|choice\"?\s*|to\s+th(?:e|is)\s+\w+\s*|\((?![A-J]\))[^()\n]{1,40}\)\s*)?"
    rf"(?:(?:here|then|therefore|thus)\s+)?{_BE}[\s:]*"
    r"(?:therefore\b|thus\b|most likely\b|clearly\b|indeed\b|probably\b|likely\b)?[\s,:]*(?:(?:the\s+)?(?:option"
    r"|choice|letter)\s+)?|\bstatement\s+is\s+(?=true|false)"
    r"|\banswer\s?[(\[{=]+\s*(?=(?-i:[A-J])\s*[)\]}])"
    r"|\b(?:label|sentiment|classification|correct|final|answer|pick|selection|solution)\s*:\s*"
    r"|(?:正解|正答|答え|解答|回答)(?:は|[:=])\s*|(?:答案|回答(?=\s*:)|(?:正确|对应|最佳)的?选项)(?:[)\]]\s*[:=]?"
    r"|(?:应该|应当|应|就)?\s*(?:[是为选]\s*[:=]?|[:=]|(?=[(\"]?[A-J](?![A-Za-z]))))\s*(?:选项)?\s*"
    r"|(?<![不别可])(?<!不应)(?<!不该)(?<!不应该)(?:故选|应选|应该选|选择|选)\s*:?\s*(?:选项)?\s*(?=[(\"]?[A-J](?![A-Za-z]))",
    re.IGNORECASE,
)


COPULA = re.compile(r"(?<=[\"\w)])\s?(?:です|である|になります|となります)(?=\s*(?:[.。!\n]|\Z))")
"""The end of a Japanese sentence: it is no part of the option before it."""


def bounded(text: str) -> str:
    """The text; of a very long one its beginning and its end, where answers are given."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 4]}\n{text[-LONGEST * 3 // 4 :]}"


def spoken(text: str) -> str:
    """What stands outside the thought: harmony's last `final`; of a thought never closed only an `<answer>` in it."""
    further = FURTHER.search(text := bounded(text))
    if further and not ("Example" in further[0][:24] and "xample" in text[: further.start()]):
        text = text[: further.start()]  # else it is a thought that goes through examples
    if CHANNEL.search(text):
        finals = FINAL.findall(text)
        return finals[-1] if finals else " "
    text = next((piece for piece in OVER.split(text) if piece.strip()), " ")
    text = SPECIAL.sub(" ", PLAIN_CHANNELS.sub(" ", text, count=1))
    if not (OPENING.search(text) or CLOSING.search(text)):
        return text
    outside, thought, opened = _parted(text)
    if not opened:
        return outside
    tags = TAG.findall(thought)
    return outside + (f" <answer>{tags[-1]}</answer>" if tags else "")


def _parted(text: str) -> tuple[str, str, bool]:
    """What stands outside thoughts; what one left open holds; whether there is one. A lone closing mark ends one."""
    marks = sorted(
        [(m.start(), m.end(), True) for m in OPENING.finditer(text)]
        + [(m.start(), m.end(), False) for m in CLOSING.finditer(text)]
    )
    outside, start, opened = [], 0, False
    for begins, ends, opens in marks:
        if opens and not opened:
            outside.append(text[start:begins])
        elif not opens and not opened:
            outside.clear()
        if opens and opened:  # a thought that speaks of thoughts
            continue
        start, opened = ends, opens
    if not opened:
        outside.append(text[start:])
    return " ".join(outside), text[start:], opened


def marked(text: str) -> str | None:
    """What the last box holds, else the last `<answer>` tag; None where there is neither."""
    found = [a or b for a, b in BOX.findall(text)] or TAG.findall(text)
    return found[-1] if found else None


def final_answer(text: str) -> str:
    """The answer to a question without options: the last box, else tag, else what is no thought. May be empty."""
    said = spoken(text)
    content = marked(said)
    return unwrapped(said if content is None else content).strip()


def after_cues(text: str) -> list[tuple[str, str, str]]:
    """For every "answer is", the last first: what stands between it and the one before, all that follows it, and its
    first sentence (the next one may discuss the other options)."""
    cues = list(CUE.finditer(text))
    cues = cues[:FIRST_CUES] + cues[FIRST_CUES:][-MOST_CUES:]
    found, start = [], 0
    for cue in cues:
        rest = text[cue.end() : cue.end() + REST]
        before = text[max(start, cue.start() - REST) : cue.start()]
        ends = r"[.!?;\n](?:\s|$)|。" if "\n" in cue[0] else r"[.!?;](?:\s|$)|[\n。]"  # below the cue, a few lines
        found.append((before, rest, re.split(ends, rest, maxsplit=1)[0]))
        start = cue.end()
    return found[::-1]


PLAIN = str.maketrans("’‘“”「」『』【】《》", "''\"\"\"\"\"\"()\"\"", "*`$")

# Boxes of a list: "- [x] B", "☑ B" among "- [ ] A", "☐ A".
TICKED = re.compile(r"(?:(?<!\S)\[[xX✓✔]\](?=\s)|☑)[^\S\n]*")
EMPTY = re.compile(r"(?:(?<!\S)\[ ?\](?=\s)|☐)[^\S\n]*")
# "❌ A ✅ B": each sign belongs to what follows it.
SIGNS_FIRST = re.compile(r"^\W{0,9}[✓✔✅✗✘❌] ?\w.*", re.MULTILINE)
SIGN = re.compile(r"(?<=\w)\W{0,5}(?=[✓✔✅✗✘❌] ?\w)")


def squeezed(text: str) -> str:
    """With one space or empty line in a row, and without many lines of mere signs: bounds the time of patterns."""
    lines = re.sub(r"(?:\n[^\w\n]{0,80}(?=\n)){4,}", "\n", re.sub(r"[^\S\n]+", " ", text))
    return re.sub(r"(?:\n ?){3,}", "\n\n", lines)


def unwrapped(text: str) -> str:
    """Without LaTeX wrappers, markdown emphasis and quotes around a letter; full-width letters made plain."""
    text = unicodedata.normalize("NFKC", text)
    if "\\" in text:
        text = CUT_FORMULA.sub(" ", text)
        text = DEGREES.sub("°", LATEX.sub(r"\1", text)).replace("~", " ")
        text = FRACTION.sub(r"\1/\2", ROOT.sub(r"√\1", text))
    if TICKED.search(text):
        text = EMPTY.sub("❌ ", TICKED.sub("✅ ", text))
    text = SIGNS_FIRST.sub(lambda m: SIGN.sub("\n", m[0]), text)
    text = COPULA.sub("", MATHS.sub(" ", text).translate(PLAIN))
    return QUOTED.sub(lambda m: m[1] or m[2], text)
