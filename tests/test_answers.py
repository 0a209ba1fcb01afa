"""The answer parser against the field's own traps, and against what the reference parsers extract."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aot.answers import final_answer, parse_answer, parse_open, parse_yes_no
from aot.prompts import gold_answer
from aot.types import LETTERS, Question

COLOURS = ("red", "blue", "green", "the left side of the dog")
YES_NO = ("Yes", "No")


def letter(text: str, options: tuple[str, ...] = COLOURS) -> str | None:
    answer = parse_answer(text, options)
    assert (answer.choice is None) == (answer.status != "answered")
    assert answer.text == text
    return None if answer.choice is None else LETTERS[answer.choice]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # boxes
        ("\\boxed{B}", "B"),
        ("blue \\boxed{B}", "B"),
        ("\\boxed{(D)}", "D"),
        ("$\\boxed{\\text{C}}$", "C"),
        ("\\boxed{b}", "B"),
        ("\\boxed{C. green}", "C"),
        ("\\boxed{green}", "C"),
        ("\\boxed{A} wait, \\boxed{B}", "B"),
        ("The answer is A. \\boxed{B}", "B"),
        ("\\boxed{E}", None),
        ("\\boxed{}", None),
        ("\\boxed{A or B}", None),
        # thoughts and tags
        ("<think>A? no, \\boxed{A}</think>\\boxed{B}", "B"),
        ("maybe A</think> C", "C"),
        ("<think>The answer is A", None),
        ("<think>A or B</think><answer>C</answer>", "C"),
        ("<answer>(B) blue</answer>", "B"),
        # explicit
        ("Answer: C", "C"),
        ("answer: c", "C"),
        ("Answer: **C**", "C"),
        ("The correct answer is **C**. Here's why: the hydrant is green.", "C"),
        ("The answer is B, because A is too small.", "B"),
        ("The answer is option D", "D"),
        ("The answer is blue.", "B"),
        ("The answer is the left side of the dog", "D"),
        ("The answer is clearly blue. Red would be wrong.", "B"),
        ("The answer is A or B", None),
        ("The answer is E", None),
        ("First I thought the answer is A. But the answer is C.", "C"),
        ("答案是B", "B"),
        ("The best option is\nB", "B"),
        # named options
        ("Considering the options, I would pick option B because it is blue", "B"),
        ("Option D: the left side of the dog", "D"),
        ("option A looks right, but option C too", None),
        # letters that stand apart
        ("A", "A"),
        (" b ", "B"),
        ("(B)", "B"),
        ("（Ｂ）", "B"),
        ("C.", "C"),
        ("**D**", "D"),
        ("B) blue", "B"),
        ("D. the left side of the dog", "D"),
        ("B\n\nThe car is blue.", "B"),
        ("The dog is on the left, so (D)", "D"),
        ("(A) red (B) blue", None),
        ("E", None),
        ("Z", None),
        # letters that are words
        ("A car is parked near the wall; the hydrant is green", "C"),
        ("Based on the image, the answer is D", "D"),
        ("A car is parked near the wall", None),
        ("I believe it is a car", None),
        ("Answer: a car that is blue", "B"),
        # words
        ("blue", "B"),
        ("It is the left side of the dog", "D"),
        ("The car is blue, not red.", "B"),
        ("It isn't red", None),
        ("red or blue", None),
        ("I'd go with B", "B"),
        ("I think it's either A or B", None),
        ("A and B are both plausible, but B fits best", None),
        ("B, although it looks red", "B"),
        ("The answer is not A.", None),
        ("The answer isn't A, it's B", "B"),
        ("It cannot be A; therefore B", "B"),
        ("Neither A nor B; C", "C"),
        ("None of the above", None),
        ("Sorry, I can't help with images of people yet.", None),
        ("Failed to obtain answer via API.", None),
        ("", None),
    ],
)
def test_multiple_choice(text, expected):
    assert letter(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes", "A"),
        ("no", "B"),
        ("**Yes**", "A"),
        ("No, there is no dog.", "B"),
        ("Yes, there is a dog; no cat.", "A"),
        ("Final answer: no", "B"),
        ("The answer is No. \\boxed{Yes}", "A"),
        ("The dog is known to be here, yes", "A"),
        ("There is not a snowboard.", None),
        ("I don't know", None),
        ("Not sure", None),
        ("yes/no", None),
        ("No.Yes", None),
        ("Nope", None),
        ("Unknown", None),
    ],
)
def test_yes_or_no(text, expected):
    assert letter(text, YES_NO) == expected


def test_an_option_inside_another_is_not_it():
    assert letter("It is dark red.", ("red", "dark red")) == "B"
    assert letter("The answer is dark red", ("red", "dark red")) == "B"
    assert letter("Three: red.", ("", "red")) == "B"


def test_a_cut_answer_is_not_an_answer():
    assert parse_answer("the answer is A", COLOURS, truncated=True).status == "truncated"
    assert parse_answer("\\boxed{A}", COLOURS, truncated=True).choice is None


@given(st.integers(2, 8), st.data())
def test_gold_answers_parse_and_an_always_a_model_scores_chance(n, data):
    options = tuple(f"thing {i}" for i in range(n))
    answer = data.draw(st.integers(0, n - 1))
    question = Question("Which?", options, answer)
    assert parse_answer(gold_answer(question), options).choice == answer
    choices = [parse_answer("A", options).choice == i for i in range(n)]
    assert sum(choices) / n == 1 / n


@given(st.text(max_size=200), st.lists(st.text(max_size=12), min_size=1, max_size=10))
def test_any_text_parses_to_an_option_or_to_nothing(text, options):
    choice = parse_answer(text, options).choice
    assert choice is None or 0 <= choice < len(options)


# Where VLMEvalKit finds nothing (or nothing certain) and we find what is plainly said.
BETTER_THAN_REFERENCE = {
    "answer: c": "C",
    "<think>Maybe A or B. The car looks red, so A? No.</think><answer>C</answer>": "C",
    "The car is blue, not red.": "B",
    "b": "B",
    "答案是B": "B",
    "Yes, there is a dog; no cat.": "A",
    "The answer is No. \\boxed{Yes}": "A",
    "**Yes**": "A",
}


@pytest.mark.parametrize("name", ["mcq_extraction_messy", "yesno_extraction_messy"])
def test_parity_with_vlmevalkit(shared_data, name):
    vectors = json.loads((shared_data / "parity" / f"{name}.json").read_text())
    options = tuple(vectors["choices"].values()) if "choices" in vectors else YES_NO
    to_letter = {"Yes": "A", "No": "B", "Unknown": None, "Z": None}
    for case in vectors["cases"]:
        reference = case.get("vlmevalkit_can_infer", case.get("vlmevalkit_YOrN"))
        expected = BETTER_THAN_REFERENCE.get(case["output"], to_letter.get(reference, reference))
        assert letter(case["output"], options) == expected, case["output"]


# The official script takes the option that is named last, also where it is named to be rejected.
OFFICIAL_TAKES_THE_LAST = {
    "validation_Chemistry_22": "D",
    "validation_Clinical_Medicine_10": "A",
    "validation_Clinical_Medicine_11": "B",
    "validation_Clinical_Medicine_12": "A",
    "validation_Clinical_Medicine_13": "B",
    "validation_Clinical_Medicine_16": "B",
    "validation_Physics_19": "B",
    "validation_Public_Health_18": "C",
}


def test_parity_with_mmmu_on_real_responses(shared_data):
    """The official parser guesses where it is unsure; where ours decides too, they agree."""
    cases = json.loads((shared_data / "parity" / "mmmu_qwen_vl_official.json").read_text())["cases"]
    cases = [c for c in cases if c["question_type"] == "multiple-choice" and not c["fell_back_to_random"]]
    pairs = [(c, letter(c["response"], tuple(c["index2ans"].values()))) for c in cases]
    decided = [(c, ours) for c, ours in pairs if ours is not None]
    assert len(decided) / len(pairs) > 0.94
    differ = {c["id"]: ours for c, ours in decided if ours != c["parsed_pred"]}
    assert differ == OFFICIAL_TAKES_THE_LAST, "a human reads ours in each of them"


def test_a_small_letter_before_more_words_is_no_option() -> None:
    for text in ("The answer is b minor, I would say", "The answer is b because I say so"):
        assert parse_answer(text, ("left", "right")).status == "unparsed"


# --- refusals

REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "Sorry, I can't help with images of people yet.",
    "I cannot determine the colour of the car.",
    "I cannot determine whether it is red.",
    "I'm unable to identify the person in the image.",
    "It is not possible to tell from the picture.",
    "The answer cannot be determined.",
    "As an AI language model, I cannot see images.",
    "There is not enough information to answer.",
    "I don't know.",
    "\\boxed{I cannot answer}",
    "<think>It is red</think>I won’t answer this.",
)


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_told_from_what_cannot_be_read(text):
    for answer in (parse_answer(text, COLOURS), parse_yes_no(text)):
        assert (answer.choice, answer.status) == (None, "refused")
    assert parse_answer(text, COLOURS, truncated=True).status == "truncated"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I can't tell for sure, but it looks blue.", "B"),
        ("I cannot say for certain. Answer: C", "C"),
        ("I'm not sure, probably green", "C"),
        ("I don't know, maybe A", "A"),
        ("Sorry, I can't determine it exactly; \\boxed{D}", "D"),
        ("I cannot see the image well, so I would go with B", "B"),
        ("The car is not red. I cannot tell more.", None),
        ("I cannot tell. It is either red or blue.", None),
        ("Sorry!", None),
        ("", None),
    ],
)
def test_who_answers_all_the_same_does_not_refuse(text, expected):
    assert letter(text) == expected
    assert parse_answer(text, COLOURS).status != "refused" or expected is None
    if expected is None and "tell more" not in text:
        assert parse_answer(text, COLOURS).status == "unparsed"


def test_a_refusal_may_be_the_right_option():
    options = ("red", "It cannot be determined")
    assert letter("It cannot be determined.", options) == "B"
    assert letter("I think it cannot be determined from this", ("red", "cannot be determined")) == "B"


# --- yes or no


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes", "yes"),
        ("no", "no"),
        ("**Yes**", "yes"),
        ("No, there is no dog.", "no"),
        ("Yes, there is a dog; no cat.", "yes"),
        ("Final answer: no", "no"),
        ("The answer is No. \\boxed{Yes}", "yes"),
        ("<answer>No</answer>", "no"),
        ("<think>yes, surely</think> \\boxed{\\text{No}}", "no"),
        ("The answer is yes, since no car is there.", "yes"),
        ("There is no doubt: yes", "yes"),
        ("There is no doubt that a dog is there", None),
        ("\\boxed{True}", "yes"),
        ("False.", "no"),
        ("True colours shine", None),
        ("\\boxed{A}", None),
        ("A", None),
        ("B", None),
        ("I cannot tell, but yes", "yes"),
        ("yes/no", None),
        ("No.Yes", None),
        ("The answer is yes and no", None),
        ("Yes. Actually, no.", None),
        ("Yes. Wait, surely yes", "yes"),
        ("The answer is this: no. The answer is clear.", "no"),
        ("Nope", None),
        ("Unknown", None),
        ("Known", None),
        ("", None),
    ],
)
def test_yes_and_no_have_no_letters(text, expected):
    answer = parse_yes_no(text)
    assert answer.choice == {"yes": 0, "no": 1, None: None}[expected]
    assert answer.status == ("answered" if expected else "unparsed")
    assert parse_yes_no(text, truncated=True).status == "truncated"


@given(st.text(max_size=200))
def test_any_text_is_yes_no_or_neither(text):
    answer = parse_yes_no(text)
    assert (answer.choice in (0, 1)) == (answer.status == "answered")


# --- open questions


@pytest.mark.parametrize(
    ("text", "accepted", "right"),
    [
        ("7", ["7"], True),
        ("The length is 7.004 m", ["7"], True),
        ("The length is 7.04 m", ["7"], False),
        ("It costs 1,234.50", ["1234.5"], False),  # as the official script: it finds 1,234 and 234.50
        ("It is 1,234.50.", ["1234.5"], True),
        ("1.2e3", ["1200"], True),
        ("-5", ["5"], False),
        ("x = 3 + 4 = 7", ["7"], True),
        ("Tampa, Florida", ["Tampa", "Miami"], True),
        ("The answer is in Ohio", ["Tampa"], False),
        ("\\boxed{12} and not 13", ["12"], True),
        ("\\boxed{12} and not 13", ["13"], False),
        ("I count 13 <answer>\\text{Twelve}</answer>", ["twelve"], True),
        ("<think>It is 5</think>It is 6", ["5"], False),
        ("A", ["A"], True),
        ("Point A", ["A"], True),
        ("cat", ["A"], False),
        ("I cannot determine it exactly, so 42", ["42"], True),
        ("It is 3\nSo it is 4", ["3"], True),
    ],
)
def test_open_answers(text, accepted, right):
    answer = parse_open(text)
    assert answer.status == "answered" and answer.matches(accepted) == right


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", "unparsed"),
        ("\\boxed{}", "unparsed"),
        (" ... ", "unparsed"),
        ("I'm sorry, but I can't assist with that.", "refused"),
        ("I apologize, but as an AI language model I am unable to view the image.", "refused"),
        ("I cannot determine the answer. Is there anything else you want to know?", "refused"),
        ("Tampa. I cannot tell more.", "answered"),
    ],
)
def test_open_answers_that_are_none(text, status):
    answer = parse_open(text)
    assert answer.status == status and (answer.readings == ()) == (status != "answered")
    assert parse_open(text, truncated=True).status == "truncated"
    assert not parse_open(text, truncated=True).matches(["Tampa"])


@given(st.floats(-1e6, 1e6).map(lambda x: round(x, 2)), st.sampled_from(["{}", "It is {}", "\\boxed{{{}}}", "so {}."]))
def test_a_number_is_found_as_it_was_written(number, form):
    assert parse_open(form.format(f"{number:.2f}")).matches([str(number)])
    assert parse_open(form.format(f"{number:,.2f}")).matches([f"{number:.2f}"])


def test_the_words_of_a_final_answer():
    assert final_answer("<think>a</think> I say \\boxed{\\text{two}}") == "two"
    assert final_answer("<answer> 2 </answer>") == "2"
    assert final_answer(" plain *words* ") == "plain words"


COLOURS = ("red", "blue", "green", "yellow")
POINTS = ("Point A", "Point B", "Point C", "Point D")
TEN = tuple(f"{c}1" for c in "abcdefghij")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        # refusals and abbreviations
        ("I'm sorry, I can't determine the answer from the image.", TEN, None),
        ("I am unable to view the image, so I cannot say.", TEN, None),
        ("I think I see nothing that matches.", TEN, None),
        ("The answer is N/A.", COLOURS, None),
        ("There is no car in the image.", ("yes", "no"), None),
        ("No.", ("yes", "no"), "B"),
        # a leading answer decides
        ("(B) blue\n\nOption A is wrong because nothing is red.", COLOURS, "B"),
        ("C) green. Options A and B are not visible.", COLOURS, "C"),
        ("B\n\nA would need a red sign.", COLOURS, "B"),
        ("**D: yellow** - (A) cannot be right.", COLOURS, "D"),
        # rejected mentions
        ("I rule out (A) and I rule out (C). The sign is blue.", COLOURS, "B"),
        ("Option A is incorrect. Option C is incorrect. Option D cannot be. Option B fits.", COLOURS, "B"),
        ("It is not A.", COLOURS, None),
        ("The answer is B, not A.", COLOURS, "B"),
        ("A. red - incorrect\nB. blue - correct\nC. green - incorrect", COLOURS, "B"),
        ("A. red - wrong\nB. blue - wrong\nC. green - wrong", COLOURS, None),
        # lists of options
        ("The possible answers are (A, B, C or D).", COLOURS, None),
        ("Consider each option: (A) red, (B) blue, (C) green.", COLOURS, None),
        ("The answer is: (A) red (B) blue (C) green (D) yellow", COLOURS, None),
        ("The answer is (A) the first or (B) the second.", COLOURS, None),
        ("Both A and C are possible.", COLOURS, None),
        ("It is either B or D.", COLOURS, None),
        # labels, articles, names
        ("Point A appears closer to the camera than point B.", POINTS, "A"),
        ("Clearly, point C is nearest.", POINTS, "C"),
        ("A man walks by.", COLOURS, None),
        ("It is rich in vitamin C.", COLOURS, None),
        # conclusions
        ("Option A shows a cup. Therefore, the answer should be C.", COLOURS, "C"),
        ("(A) is red.\n(B) is blue.\n\nSo, the correct one is green.", COLOURS, "C"),
        ("\\boxed{the second one} The answer is (A).", COLOURS, "A"),
        ("\\[\\boxed{\\text{Answer: D}}\\]", COLOURS, "D"),
        # thoughts
        ("<thinking>It could be (A).</thinking> (B)", COLOURS, "B"),
        ("[THINK]A? no[/THINK]C", COLOURS, "C"),
        ("◁think▷Maybe A.◁/think▷B", COLOURS, "B"),
        ("<reasoning>A is likely</reasoning>\nThe answer is D", COLOURS, "D"),
        ("<think>So it is A", COLOURS, None),
        ("<think>It is a sign\n<answer>B</answer>", COLOURS, "B"),
        ("It may be A</think>C", COLOURS, "C"),
        ("<|channel|>analysis<|message|>A?<|end|><|channel|>final<|message|>B<|return|>", COLOURS, "B"),
        ("<|channel|>analysis<|message|>It is A", COLOURS, None),
        ("The thought. <|begin_of_box|>C<|end_of_box|>", COLOURS, "C"),
        # Chinese
        ("答案:B", COLOURS, "B"),
        ("答案是 C。", COLOURS, "C"),
        ("应选B,因为它是蓝色。", COLOURS, "B"),
        ("这个五线谱是C大调。", ("C大调", "G大调", "F大调"), "A"),
        ("这个五线谱是C大调。", COLOURS, None),
        ("图中的动物是大象。", ("狮子", "大象"), "B"),
        ("图中的动物不是狮子。", ("狮子", "大象"), None),
        # quotes and preferences
        ("The answer is 'B'", COLOURS, "B"),
        ("The answer is “C”.", COLOURS, "C"),
        ("Box B more accurately localizes the cup. Box A is too large.", ("Box A", "Box B"), "B"),
        ("Box A is large. Box B is small.", ("Box A", "Box B"), None),
        ("The region is \\(A\\)", COLOURS, "A"),
    ],
)
def test_real_ways_of_answering(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("是", 0),
        ("否", 1),
        ("是的,图中有一只狗。", 0),
        ("没有。", 1),
        ("答案是:否", 1),
        ("There is no dog.", 1),
        ("不清楚", None),
    ],
)
def test_yes_and_no_in_both_languages(text: str, expected: int | None) -> None:
    assert parse_yes_no(text).choice == expected


def test_the_cases_that_went_wrong_once(shared_data: Path) -> None:
    lines = (shared_data / "cases" / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    for case in map(json.loads, lines):
        assert letter(case["text"], tuple(case["options"])) == case["letter"], case["text"]


PIECES = ["A, ", "not A ", "the answer is ", "<think>", "(A) red\n", "than ", "option A is ", "A/", "\\boxed{", " "]


@pytest.mark.parametrize("piece", PIECES)
def test_long_responses_are_read_in_linear_time(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    begun = time.monotonic()
    parse_answer(text, COLOURS)
    parse_yes_no(text)
    assert time.monotonic() - begun < 5
