"""The answer parser against the field's own traps, and against what the reference parsers extract."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import example, given
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
@example("", ["*"])
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
    "validation_Clinical_Medicine_12": "A",
    "validation_Clinical_Medicine_13": "B",
    "validation_Clinical_Medicine_16": "B",
    "validation_Diagnostics_and_Laboratory_Medicine_29": "B",
    "validation_Physics_19": "B",
    "validation_Public_Health_18": "C",
}


def test_parity_with_mmmu_on_real_responses(shared_data):
    """The official parser guesses where it is unsure; where ours decides too, they agree."""
    cases = json.loads((shared_data / "parity" / "mmmu_qwen_vl_official.json").read_text())["cases"]
    cases = [c for c in cases if c["question_type"] == "multiple-choice" and not c["fell_back_to_random"]]
    pairs = [(c, letter(c["response"], tuple(c["index2ans"].values()))) for c in cases]
    decided = [(c, ours) for c, ours in pairs if ours is not None]
    assert len(decided) / len(pairs) > 0.93
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


@given(
    st.floats(-1e6, 1e6).map(lambda x: round(x, 2)),
    st.sampled_from(["{}", "It is {}", "\\boxed{{{}}}", "so {}."]),
)
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
        # ticked boxes and signs
        ("- [ ] A\n- [x] B. blue\n- [ ] C", COLOURS, "B"),
        ("☐ A ☑ B ☐ C", COLOURS, "B"),
        ("❌ A ✅ B ❌ C ❌ D", COLOURS, "B"),
        ("A ❌ B ✅ C ❌ D ❌", COLOURS, "B"),
        ("- [x] A\n- [x] B", COLOURS, None),
        ("- [ ] A\n- [ ] B\n- [ ] C\n\nB", COLOURS, "B"),
        ("- [x] look at the image\n- [x] compare\n\nAnswer: C", COLOURS, "C"),
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
        ("\\boxed{是}", 0),
        ("Let us see. The answer (Yes or No) is No.", 1),
        ("Cold water sinks, so yes it may.\nThe answer (yes/no) is:\n\nYes", 0),
    ],
)
def test_yes_and_no_in_both_languages(text: str, expected: int | None) -> None:
    assert parse_yes_no(text).choice == expected


def test_the_cases_that_went_wrong_once(shared_data: Path) -> None:
    lines = (shared_data / "cases" / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    for case in map(json.loads, lines):
        assert letter(case["text"], tuple(case["options"])) == case["letter"], case["text"]


PIECES = [
    "A, ",
    "not A ",
    "the answer is ",
    "<think>",
    "(A) red\n",
    "than ",
    "option A is ",
    "A/",
    "\\boxed{",
    " ",
]


@pytest.mark.parametrize("piece", PIECES)
def test_long_responses_are_read_in_linear_time(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    begun = time.process_time()
    parse_answer(text, COLOURS)
    parse_yes_no(text)
    assert time.process_time() - begun < 5


# --- other ways in which recorded replies and adversarial ones are written

THREE = ("red", "blue", "green")
IMAGES = ("the second image", "the third image")
BOXES = ("Box A", "Box B")
YES_OR_NO = ("yes", "no")
DEPTHS = ("A is closer", "B is closer")
ALBEDOS = ("A is darker", "B is darker", "About the same")
CHINESE = ("红色", "蓝色", "绿色")
CHINESE_YES_NO = ("是", "否")
SEASONS = ("Yes, it is", "No, it is not", "Only in summer", "Cannot be determined")
NUMBERS = ("1", "2", "3", "4")
TRUE_FALSE = ("True", "False")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("**Answer: C**", COLOURS, "C"),
        ("The correct option is C. The sign is green.", COLOURS, "C"),
        ("So, the answer should be B", COLOURS, "B"),
        ("Therefore, B.", COLOURS, "B"),
        ("C: green", COLOURS, "C"),
        ("C) green", COLOURS, "C"),
        ("Answer - C", COLOURS, "C"),
        ("Answer – C", COLOURS, "C"),
        ("Option (C) is correct", COLOURS, "C"),
        ("Final answer: \\boxed{C}", COLOURS, "C"),
        ("\\boxed{\\text{C}}", COLOURS, "C"),
        ("The best answer is therefore **(D) yellow**", COLOURS, "D"),
        ("D. The image shows a yellow car.", COLOURS, "D"),
        ("I would choose B", COLOURS, "B"),
        ("My answer is B", COLOURS, "B"),
        ("It is A", COLOURS, "A"),
        ("The car is red.", COLOURS, "A"),
        ("I'd go with option C.", COLOURS, "C"),
        ("I pick D because it is yellow.", COLOURS, "D"),
        ("The answer must be (B).", COLOURS, "B"),
        ("The right choice is B) blue.", COLOURS, "B"),
        ("ANSWER: D", COLOURS, "D"),
        ("answer is (c)", COLOURS, "C"),
        ("### Answer\nB", COLOURS, "B"),
        ("Based on the image, the correct answer is:\n\n**B. blue**", COLOURS, "B"),
        ("The sign is clearly visible.\n\nAnswer: B", COLOURS, "B"),
        ("<s> B", COLOURS, "B"),
        ("B</s>", COLOURS, "B"),
        ("B<|im_end|>", COLOURS, "B"),
        ("The most likely answer is C, green.", COLOURS, "C"),
        ("Thus the correct choice is (A).", COLOURS, "A"),
        ("It's D.", COLOURS, "D"),
        ("I think it is C", COLOURS, "C"),
        ("I believe the answer is B.", COLOURS, "B"),
        ("The only option that fits is:\n\n(D) yellow\n\nThe car has a bright paint.", COLOURS, "D"),
        (
            "Let me check.\n(A) red: the car is not red.\n(B) blue: it matches.\n\nSo the answer is (B).",
            COLOURS,
            "B",
        ),
        ("The color of the car is (B) blue.", COLOURS, "B"),
        ("(b)", COLOURS, "B"),
        ("b)", COLOURS, "B"),
        ("[C]", COLOURS, "C"),
        ('"C"', COLOURS, "C"),
        ("`C`", COLOURS, "C"),
        ("__C__", COLOURS, "C"),
        ("<b>C</b>", COLOURS, "C"),
        ("Correct answer: (C) green", COLOURS, "C"),
        ("Correct: C", COLOURS, "C"),
        ("After careful consideration, I would select option (A).", COLOURS, "A"),
        ("Option B.", COLOURS, "B"),
        ("Choice D", COLOURS, "D"),
        ("I'm sorry, I can't answer that question.", TEN, None),
        ("I am not able to see the image.", TEN, None),
        ("I cannot select either (A) or (B).", COLOURS, None),
        ("Unfortunately, I can't make a choice between A and B.", COLOURS, None),
        ("The answer is N/A", COLOURS, None),
        ("N/A", COLOURS, None),
        ("n/a", COLOURS, None),
        ("Not applicable (N/A).", POINTS, None),
        ("There is no car.", YES_OR_NO, None),
        ("There is no dog, so I can't say.", YES_OR_NO, None),
        ("It is difficult to determine which one is right.", COLOURS, None),
        ("It is not possible to determine whether it is A, B, C or D.", POINTS, None),
        ("I am unable to choose.", TEN, None),
        ("None of the above.", COLOURS, None),
        ("None of the options (A) red, (B) blue, (C) green, or (D) yellow is right.", COLOURS, None),
        ("Neither box A nor B is right. Box A shows a cup.", BOXES, None),
        ("抱歉，我无法判断。", CHINESE, None),
        ("无法确定图中的颜色。", CHINESE, None),
        ("(B) blue\n\nOption A is wrong because nothing is red.\nOption C is wrong too.", COLOURS, "B"),
        ("B\n\nA is wrong because nothing is red.", COLOURS, "B"),
        ("B. blue\n\nExplanation:\nA. red is incorrect.\nC. green is incorrect.", COLOURS, "B"),
        ("(B) False", TRUE_FALSE, "B"),
        ("B) False. It does not.", TRUE_FALSE, "B"),
        ("A. It is not red.", ("It is not red.", "It is red."), "A"),
        (
            "Option A: This is incorrect.\nOption B: This is correct.\nOption C: This is incorrect.",
            COLOURS,
            "B",
        ),
        ("not A", COLOURS, None),
        ("It can't be A.", COLOURS, None),
        ("Option A is incorrect.", COLOURS, None),
        ("I would rule out B.", COLOURS, None),
        ("A cannot be the answer.", COLOURS, None),
        ("The answer cannot be A.", COLOURS, None),
        ("A is wrong.", COLOURS, None),
        ("The answer is not B but C.", COLOURS, "C"),
        ("It isn't A; it's C.", COLOURS, "C"),
        ("Options A, B and D can be eliminated, so C.", COLOURS, "C"),
        ("I would not choose A.", COLOURS, None),
        ("The answer isn't (A).", COLOURS, None),
        ("Options: (A, B, C or D)", COLOURS, None),
        ("Let's look at each option: (A) red (B) blue (C) green (D) yellow", COLOURS, None),
        ("The answer is:\n(A) red\n(B) blue\n(C) green\n(D) yellow", COLOURS, None),
        ("A) red B) blue C) green D) yellow", COLOURS, None),
        ("A. red\nB. blue\nC. green\nD. yellow", COLOURS, None),
        ("A, B, C, D", COLOURS, None),
        ("The answer is A and B.", COLOURS, None),
        ("The answer is A/B", COLOURS, None),
        ("Both A and C", COLOURS, None),
        ("either A or B", COLOURS, None),
        ("A and B are both right.", COLOURS, None),
        ("The answer is (A) or (C).", COLOURS, None),
        ("A or B", COLOURS, None),
        ("The answer is A. The answer is B.", COLOURS, None),
        ("The answer could be either (A) the second image or (B) the third image.", IMAGES, None),
        ("All of A, B, and C.", COLOURS, None),
        ("Answer: A, C", COLOURS, None),
        ("Point A appears closer to the camera.", DEPTHS, "A"),
        ("Point B is closer to the camera than point A.", DEPTHS, "B"),
        ("Based on the image, A is darker than B.", ALBEDOS, "A"),
        ("A man is standing there.", COLOURS, None),
        ("A red car.", COLOURS, "A"),
        ("I think so.", TEN, None),
        ("I see a car.", TEN, None),
        ("I", TEN, "I"),
        ("I. i1", TEN, "I"),
        ("It contains vitamin C.", COLOURS, None),
        ("Go with plan B.", COLOURS, None),
        ("He got grade A.", COLOURS, None),
        ("Figure A shows a car.", COLOURS, None),
        ("The song is in C major.", COLOURS, None),
        ("It is a B cell.", COLOURS, None),
        ("Type A blood", COLOURS, None),
        ("The answer is C major", ("G major", "C major", "F major"), "B"),
        ("The answer is a man", ("a dog", "a man"), "B"),
        ("Answer: A Ford truck", ("a car", "a Ford truck"), "B"),
        ("Point C.", POINTS, "C"),
        ("The corresponding point is Point B on the ear.", POINTS, "B"),
        ('The corresponding point to "REF" is:\n(D) Point D', POINTS, "D"),
        (
            "The point labeled REF corresponds to Point C in the second image. The other "
            "points (A, B, and D) do not match.",
            POINTS,
            "C",
        ),
        ("Option A looks close. However, based on the shape, the best match is option C.", COLOURS, "C"),
        ("First, A is red. B is blue. Thus, the correct answer is B.", COLOURS, "B"),
        ("\\boxed{the middle} So the answer is (A).", COLOURS, "A"),
        ("\\boxed{\\text{none}} The answer is (A)", COLOURS, "A"),
        (
            "The second image is most similar to the first one. The third image has another colour.",
            IMAGES,
            "A",
        ),
        ("The first and third images are the most similar. The second image differs.", IMAGES, None),
        ("The second image (B) is most similar.", IMAGES, None),
        ("However, if I must choose one, I would lean towards (A) the second image.", IMAGES, "A"),
        ("Therefore, neither the second nor the third image fits.", IMAGES, None),
        (
            "Box B more accurately localizes the cat. In contrast, Box A is much larger than necessary.",
            BOXES,
            "B",
        ),
        ("Box A is too large. Therefore, Box B is better.", BOXES, "B"),
        (
            "The first image is most similar to (B) the third image. Both the first and "
            "third images show a house.",
            IMAGES,
            "B",
        ),
        ("Without the effect of shading:\n\n(C) About the same", ALBEDOS, "C"),
        ("Wait, actually the answer is B.", COLOURS, "B"),
        ("The answer is A. Wait, no, the answer is B.", COLOURS, "B"),
        ("<think>A</think>B", COLOURS, "B"),
        ("<thinking>The answer is A</thinking>\n\nThe answer is C.", COLOURS, "C"),
        ("[THINK]It is (A)[/THINK](D)", COLOURS, "D"),
        ("◁think▷A or B◁/think▷The answer is B.", COLOURS, "B"),
        ("<reasoning>Option A</reasoning><answer>D</answer>", COLOURS, "D"),
        ("<think>It is A. The answer is (A)", COLOURS, None),
        ("[THINK]The answer is A", COLOURS, None),
        ("◁think▷So A", COLOURS, None),
        ("<reasoning>The answer is A", COLOURS, None),
        ("<thought>hm \\boxed{A}</thought>", COLOURS, None),
        ("The answer is A</think>", COLOURS, None),
        (
            "<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>final<|message|>"
            "The answer is C.<|return|>",
            COLOURS,
            "C",
        ),
        ("<|channel|>final<|message|>A<|end|><|channel|>final<|message|>B", COLOURS, "B"),
        ("<|channel|>analysis<|message|>The answer is A", COLOURS, None),
        ("analysisMaybe A.assistantfinalB", COLOURS, "B"),
        ("<think>x</think><|begin_of_box|>C<|end_of_box|>", COLOURS, "C"),
        ("<answer><|begin_of_box|>D<|end_of_box|></answer>", COLOURS, "D"),
        ("<think>the sign\n<answer>C</answer>", COLOURS, "C"),
        ("<CONCLUSION>B</CONCLUSION>", COLOURS, "B"),
        ("<|begin_of_thought|>A<|end_of_thought|>B", COLOURS, "B"),
        ("<REASONING>A is it</REASONING><CONCLUSION>C</CONCLUSION>", COLOURS, "C"),
        ("选B", CHINESE, "B"),
        ("答案：B", CHINESE, "B"),
        ("答案是B", CHINESE, "B"),
        ("答案为B。", CHINESE, "B"),
        ("选项B", CHINESE, "B"),
        ("选项B是正确的。", CHINESE, "B"),
        ("B选项正确。", CHINESE, "B"),
        ("正确答案是（Ｂ）。", CHINESE, "B"),
        ("（Ｂ）", CHINESE, "B"),
        ("Ｂ", CHINESE, "B"),
        ("因此，选择C。", CHINESE, "C"),
        ("故选：C", CHINESE, "C"),
        ("我选择A，因为它是红色。", CHINESE, "A"),
        ("图中的汽车是蓝色的。", CHINESE, "B"),
        ("汽车不是红色，而是蓝色。", CHINESE, "B"),
        ("汽车不是红色。", CHINESE, None),
        ("正确答案是(B)蓝色和(C)绿色。", CHINESE, None),
        ("这首曲子是C大调。", CHINESE, None),
        ("是", CHINESE_YES_NO, "A"),
        ("否", CHINESE_YES_NO, "B"),
        ("不是", CHINESE_YES_NO, "B"),
        ("是的，图中有一只狗。", CHINESE_YES_NO, "A"),
        ("不是，图中没有狗。", CHINESE_YES_NO, "B"),
        ("答案是否", CHINESE_YES_NO, "B"),
        ("答案：是", CHINESE_YES_NO, "A"),
        ("是的", YES_OR_NO, "A"),
        ("【答案】B", CHINESE, "B"),
        ("不选A", CHINESE, None),
        ("答案不是A", CHINESE, None),
        ("A、B、C", CHINESE, None),
        ("B。蓝色", CHINESE, "B"),
        ("B、蓝色", CHINESE, "B"),
        ("所以答案应该是C。", CHINESE, "C"),
        ('The answer is "B"', COLOURS, "B"),
        ("The answer is ‘B’.", COLOURS, "B"),
        ("The answer is **'B'**", COLOURS, "B"),
        ("The region is \\(B\\)", COLOURS, "B"),
        ("\\(\\text{B}\\)", COLOURS, "B"),
        ("\\(B\\)lue", THREE, None),
        ("Yes.", YES_OR_NO, "A"),
        ("No, the dog is not on the mat.", YES_OR_NO, "B"),
        ("(A) yes", YES_OR_NO, "A"),
        ("The answer is yes.", YES_OR_NO, "A"),
        ("Yes, the cat is under the table.", YES_OR_NO, "A"),
        ("There are 3 dogs in the picture.", NUMBERS, "C"),
        ("I count 2 cats and 1 dog.", NUMBERS, None),
        ("(C) 3\n\nThere are 3 dogs and 1 cat.", NUMBERS, "C"),
        ("The number of dogs is 2.", NUMBERS, "B"),
        ("There are two dogs.", NUMBERS, None),
        ("False. The statement does not hold.", TRUE_FALSE, "B"),
        ("The answer is False.", TRUE_FALSE, "B"),
        ("This is true.", TRUE_FALSE, "A"),
        ("The statement is not true.", TRUE_FALSE, None),
        ("It is incorrect to say that it is B.", COLOURS, None),
        ("D. Cannot be determined", SEASONS, "D"),
        ("The answer cannot be determined from the image.", SEASONS, "D"),
        (
            "Question: Which colour cannot be seen? Options: A. red B. blue C. green D. yellow\nAnswer: C",
            COLOURS,
            "C",
        ),
        ('You asked "Can you not determine the colour?" The car is red.', COLOURS, "A"),
        ("A: red", COLOURS, "A"),
        ("A - red", COLOURS, "A"),
        ("(A)", COLOURS, "A"),
        ("A)", COLOURS, "A"),
        ("A,", COLOURS, "A"),
        ("A because it is red", COLOURS, "A"),
        ("B since the car is blue", COLOURS, "B"),
        ("Answer: A because the car is red", COLOURS, "A"),
        ("Option A and option B are both plausible. I choose option B.", COLOURS, "B"),
        ("Comparing A and B, A is brighter, but B has the right shape. The answer is B.", COLOURS, "B"),
        ("A is plausible. B is plausible. C is the best choice.", COLOURS, "C"),
        ("The man in the image wears a red hat.", COLOURS, "A"),
        ("The car is not red but blue.", COLOURS, "B"),
        ("The car isn't red or blue.", COLOURS, None),
        ("Her blood type is A.", COLOURS, None),
        ("He takes vitamin A and vitamin C.", COLOURS, None),
        ("Class B drivers only.", COLOURS, None),
        ("Route A is shorter.", COLOURS, None),
        ("Team C won the match.", COLOURS, None),
        ("In Figure B, a car is shown.", COLOURS, None),
        ("See Figure C.", COLOURS, None),
        ("The graph shows line A above line B.", COLOURS, None),
        ("Angle A is 30 degrees.", NUMBERS, None),
        ("A-level", COLOURS, None),
        ("B2B", COLOURS, None),
        ("C++", COLOURS, None),
        ("U.S.A.", COLOURS, None),
        ("A/B testing", COLOURS, None),
        ("I", COLOURS, None),
        ("I am sure.", TEN, None),
        ("I, too, see it.", TEN, None),
        ("The answer is (I).", TEN, "I"),
        ("(I) i1", TEN, "I"),
        ("My final answer: **B**", COLOURS, "B"),
        ("Final Answer: The final answer is $\\boxed{B}$", COLOURS, "B"),
        ("Final answer: (D)", COLOURS, "D"),
        ("$\\boxed{D}$. ", COLOURS, "D"),
        ("\\boxed{\\mathrm{C}}", COLOURS, "C"),
        ("\\boxed{C: green}", COLOURS, "C"),
        ("\\boxed{A, B}", COLOURS, None),
        ("\\boxed{\\text{C. green}}", COLOURS, "C"),
        ("\\boxed{42}. So the answer is (B)", COLOURS, "B"),
        ("```\nB\n```", COLOURS, "B"),
        ('{"answer": "B"}', COLOURS, "B"),
        ("answer=B", COLOURS, "B"),
        ("The answer is: B. blue", COLOURS, "B"),
        ("The answer to the question is B.", COLOURS, "B"),
        ("The answer that best describes the image is (C).", COLOURS, "C"),
        ("The answer would be C.", COLOURS, "C"),
        ("The correct answer would be option B: blue.", COLOURS, "B"),
        ("The correct answer among the options is D.", COLOURS, "D"),
        ("Hence, the correct option is (B).", COLOURS, "B"),
        ("Hence (B).", COLOURS, "B"),
        ("So B is right.", COLOURS, "B"),
        ("So, C.", COLOURS, "C"),
        ("Thus, option C is correct.", COLOURS, "C"),
        ("Therefore, the color is blue.", COLOURS, "B"),
        ("It must be option A.", COLOURS, "A"),
        ("B is the correct answer.", COLOURS, "B"),
        ("(B) is correct.", COLOURS, "B"),
        ("B seems to be the best choice.", COLOURS, "B"),
        ("The answer is not A, B, or C. So it is D.", COLOURS, "D"),
        ("It is neither red nor blue; it is green.", COLOURS, "C"),
        ("Only B fits.", COLOURS, "B"),
        ("Most likely B.", COLOURS, "B"),
        ("Probably (C).", COLOURS, "C"),
        ("I guess D.", COLOURS, "D"),
        ("Definitely A.", COLOURS, "A"),
        ("A and C are wrong, so B.", THREE, "B"),
        ("Options A and C are incorrect. The correct answer is B.", THREE, "B"),
        (
            "Option A is incorrect because the car is not red. Option B is correct because it is blue.",
            COLOURS,
            "B",
        ),
        ("A. Incorrect, it is not red.\nB. Correct.\nC. Incorrect.", COLOURS, None),
        ("✗ A\n✓ B\n✗ C", COLOURS, "B"),
        ("The image shows a car. The car is blue.", COLOURS, "B"),
        ("The car is blue and the sign is red.", COLOURS, None),
        ("所以，B是正确答案。", CHINESE, "B"),
        ("我认为答案是C，因为是绿色。", CHINESE, "C"),
        ("A是错误的，B是正确的。", CHINESE, "B"),
        ("正确选项：B", CHINESE, "B"),
        ("本题选C。", CHINESE, "C"),
        ("应选A。", CHINESE, "A"),
        ("B超检查", CHINESE, None),
        ("维生素C", CHINESE, None),
        ("A股上涨", CHINESE, None),
        ("选A或B", CHINESE, None),
        ("选项A和选项B都正确", CHINESE, None),
        ("以上都不对", CHINESE, None),
        ("答案：（Ｃ）绿色", CHINESE, "C"),
        ("车是红色的，不是蓝色的。", CHINESE, "A"),
        ("没有足够的信息。", CHINESE, None),
        ("<think>可能是A</think>答案是B。", CHINESE, "B"),
        ("有", ("有", "没有"), "A"),
        ("没有", ("有", "没有"), "B"),
        ("不清楚", CHINESE_YES_NO, None),
        ("是否", CHINESE_YES_NO, None),
        ("答案是是", CHINESE_YES_NO, "A"),
        ("是的", CHINESE_YES_NO, "A"),
        ("Sorry, I can't help with that.", TEN, None),
        ("As an AI, I can't view images.", TEN, None),
        ("I don't have enough information to answer.", TEN, None),
        ("The answer is unclear.", TEN, None),
        ("Not A.", COLOURS, None),
        ("There are no cars here.", YES_OR_NO, None),
        ("There is no dog on the mat.", YES_OR_NO, None),
        ("I see no reason for that.", YES_OR_NO, None),
        ("No idea.", YES_OR_NO, None),
        ("No doubt, yes.", YES_OR_NO, "A"),
        ("<think>The user asks which. It's B.\n</think>\n\n", COLOURS, None),
        ("<think>A</think><think>B</think>C", COLOURS, "C"),
        ("<|START_THINKING|>A<|END_THINKING|>B", COLOURS, "B"),
        ("<seed:think>A</seed:think>B", COLOURS, "B"),
        ("<scratchpad>A</scratchpad>\n(C)", COLOURS, "C"),
        ("<THINK>A</THINK>B", COLOURS, "B"),
        ("<think>A\n<answer>", COLOURS, None),
        ("<answer>C", COLOURS, "C"),
        ("<answer>The answer is B.</answer>", COLOURS, "B"),
        ("<think>x</think>\n<answer>\nD\n</answer>", COLOURS, "D"),
    ],
)
def test_replies_of_every_kind(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


LETTERED = st.sampled_from(
    [
        "A",
        "(B)",
        "not ",
        "answer is ",
        "option ",
        "C.",
        "\n",
        "therefore ",
        "，",
        "选",
        "答案",
        "<think>",
        "</think>",
        "I",
        " ",
        "red",
        "is the best",
        "the ",
        "\\boxed{",
        "}",
        "cannot determine ",
        "but ",
        "?",
        '"',
        "none of ",
        "正确",
        "neither ",
    ]
)


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("So point A matches it. So point B matches it. So point C matches it.", POINTS, None),
        ("I would choose B. Therefore, suppose it is point C.", POINTS, None),
        ("I would choose B. I would choose C. It is a plain cup.", COLOURS, None),
        ("Look at the cup. I would choose B. So it may be red.", COLOURS, None),
        ("Therefore, it is:\n(A) a tall tree here\n(B) a low tree here", COLOURS, None),
        ("I would choose B. But I cannot say it. Nothing else.", COLOURS, None),
        ("The sign is\n(B) blue\nor so. It may be the one.", COLOURS, None),
        ("The answer is:\n(A) red\n\n(B) blue", COLOURS, None),
        ("The answer is A. The answer is B. However, the answer is C.", COLOURS, None),
        ("The answer is B.\nNothing more.\n\nAnswer: C", COLOURS, None),  # it may be another question's
        ("The answer is B.\nNothing more.\n\nFinal answer: C", COLOURS, "C"),
        ("Therefore, the second or the third image.", IMAGES, None),
        ("It is a cup. Thus A, C or D.", COLOURS, None),
        ("Look at the ear. Point D is the correct corresponding point (C).", POINTS, None),
        ("The choices are these. Hence B or C.", COLOURS, None),
        ("Box B more accurately shows the cat. Box A is the closest in size.", BOXES, None),
        ("Point B is the best match. Point A is the nearest one. It is small.", POINTS, None),
    ],
)
def test_sentences_that_disagree(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


@given(st.lists(LETTERED, max_size=25).map("".join), st.integers(1, 4))
def test_a_letter_is_always_one_of_the_options(text: str, n: int) -> None:
    answer = parse_answer(text, COLOURS[:n])
    assert (answer.choice is None) == (answer.status != "answered")
    assert answer.choice is None or 0 <= answer.choice < n


@pytest.mark.parametrize(
    "piece",
    [
        "A, ",
        "the answer is ",
        "\n",
        " ",
        '"',
        "option A is ",
        " \n#",
        "-----\n",
        "respuesta correcta ",
        "无法",
        "so ",
        "(A, ",
        "? ",
        "<think>",
        "best ",
        "\\boxed{A} ",
        "actually ",
        "if it were ",
        "不是A,",
        "选项A",
        "((((",
        "\nuser \n",
        "[INST] a ",
        "Which?\nA. cat\nB. dog\n",
        "ab cd: ",
        "##A## ",
        "\noption (",
    ],
)
def test_a_reply_of_200_kilobytes_is_read_in_seconds(piece: str) -> None:
    begun = time.process_time()
    parse_answer(piece * (200_000 // len(piece)), COLOURS)
    assert time.process_time() - begun < 5  # at most 0.9 s at 2 GHz; a quadratic way takes minutes


@pytest.mark.parametrize("text", ["9" * 60_000, "9" * 60_000 + "e", "1." * 30_000, "999," * 15_000 + "x"])
def test_long_numbers_are_read_in_linear_time(text: str) -> None:
    begun = time.process_time()
    parse_open(text)
    assert time.process_time() - begun < 2  # 14 s once


# --- a second round of replies that nobody had tried: each line stands for a kind

LETTERS_AS_OPTIONS = ("A", "B", "C", "D", "E")
OTHER_LETTERS = ("B", "D", "A", "C")
COUNTS = ("2", "3", "4", "5")
PLACES = ("left", "right", "above", "below")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        # an answer that is taken back
        ("A. Wait, actually B.", COLOURS, "B"),
        ("The answer is A... wait, actually, it's B.", COLOURS, "B"),
        ("The answer is A. On second thought, B.", COLOURS, "B"),
        ("A. No, B.", COLOURS, "B"),
        ("A. Hmm, no. It's C.", COLOURS, "C"),
        ("The answer is A. Correction: C.", COLOURS, "C"),
        ("The answer is A. Sorry, I meant C.", COLOURS, "C"),
        ("答案是A。等等，重新看一下，应该是B。", CHINESE, "B"),
        ("答案：A\n\n不对，答案应该是B。", CHINESE, "B"),
        ("Yes! Actually no, I was wrong.", YES_OR_NO, None),
        ("No, wait, yes.", YES_OR_NO, "A"),
        ("B. People wait at the red light.", COLOURS, "B"),
        ("A. Wait, the car is plainly blue, not red.", COLOURS, None),
        # a cue that is turned round
        ("The incorrect answer is A.", COLOURS, None),
        ("The least likely answer is A.", COLOURS, None),
        ("Wrong answer: A", COLOURS, None),
        ("I doubt that the answer is A.", COLOURS, None),
        ("I don't think the answer is A.", COLOURS, None),
        ("It would be a mistake to answer A.", COLOURS, None),
        ("The answer is anything but D.", COLOURS, None),
        ("One might think the answer is A. It is actually B.", COLOURS, None),
        ("If the car were red, the answer would be A.", COLOURS, None),
        ("If the car was red then the answer is A, but it's blue, so the answer is B.", COLOURS, "B"),
        ("错误答案是A。", CHINESE, None),
        ("如果车是红色，答案就是A。", CHINESE, None),
        # two after one cue
        ("The answer is A, or possibly B.", COLOURS, None),
        ("Answer: B (but A also acceptable)", COLOURS, None),
        ("The answer is B for the first question and C for the second.", COLOURS, None),
        ("A+B", COLOURS, None),
        ("Answer: A and C only", COLOURS, None),
        ("B if we consider the roof, C otherwise.", COLOURS, None),
        ("<answer>B</answer><answer>C</answer>", COLOURS, None),
        ("<answer>B</answer><answer>B</answer>", COLOURS, "B"),
        ("<answer>B</answer> But then: <answer>C</answer>", COLOURS, "C"),
        ("The answer is \\boxed{B}. Note that \\boxed{A} would be wrong.", COLOURS, "B"),
        ("A或B", CHINESE, None),
        ("选A还是B？", CHINESE, None),
        ("A和B都对", CHINESE, None),
        ("不是B就是C", CHINESE, None),
        # a letter beside another option's words
        ("The answer is B (red).", COLOURS, None),
        ("\\boxed{red (B)}", COLOURS, None),
        ("The answer is green (C), not red (A).", COLOURS, "C"),
        ("A: I cannot tell.", COLOURS, None),
        ("A: The car is blue.", COLOURS, None),
        # rejected, or looked at only
        ("A fails because there is no red.", COLOURS, None),
        ("There is no evidence for A.", COLOURS, None),
        ("B is off the table.", COLOURS, None),
        ("Let's analyze option A", COLOURS, None),
        ("Looking at (A),", COLOURS, None),
        ("One might be tempted to say A, but the paint is blue.", COLOURS, "B"),
        ("It is C rather than A.", COLOURS, "C"),
        ("red, blue, green, yellow", COLOURS, None),
        ("What colour is it? Is it red?", COLOURS, None),
        ("不应该选A，应该选D。", ("甲", "乙", "丙", "丁"), "D"),
        ("选B不选A", CHINESE, "B"),
        ("不是A，是B。", CHINESE, "B"),
        ("图中没有红色。", CHINESE, None),
        ("这辆车不是红色，也不是绿色，是蓝色。", CHINESE, "B"),
        # judged one by one
        ("A: No\nB: No\nC: Yes\nD: No", COLOURS, "C"),
        ("A) No. B) No. C) Yes. D) No.", COLOURS, None),
        ("A ✗, B ✗, C ✓, D ✗", COLOURS, None),
        ("| Option | Verdict |\n|---|---|\n| A | incorrect |\n| B | correct |", COLOURS, "B"),
        ("A. 红色：不符合\nB. 蓝色：符合\nC. 绿色：不符合", CHINESE, "B"),
        ("A. True\nB. False", TRUE_FALSE, None),
        ("A: Yes, B: No", ("Yes", "No"), None),
        # numbers
        ("1. First I look at it.\n2. Then I count.\n\nThere are 4 dogs.", NUMBERS, "D"),
        ("1. dog\n2. dog\n3. dog\n\nTotal: 3", NUMBERS, None),
        ("3.5", NUMBERS, None),
        ("At least 2.", NUMBERS, None),
        ("Option 2", COUNTS, None),
        ("Option 2", NUMBERS, "B"),
        ("C) 3", COUNTS, None),
        ("C. 4", COUNTS, "C"),
        ("There were 2 of them in 2012.", NUMBERS, None),
        # options that are letters, or everyday words
        ("D", OTHER_LETTERS, None),
        ("The answer is B", OTHER_LETTERS, None),
        ("(B) D", OTHER_LETTERS, "B"),
        ("The answer is (C).", OTHER_LETTERS, "C"),
        ("vitamin D", LETTERS_AS_OPTIONS, None),
        ("Plan B is cheaper.", LETTERS_AS_OPTIONS, None),
        ("∠A = 30°, so ∠B = 60°.", LETTERS_AS_OPTIONS, None),
        ("B > C > A", LETTERS_AS_OPTIONS, None),
        ("The cell is indicated by E.", LETTERS_AS_OPTIONS, "E"),
        ("Choices:\nA\nB\nC\nD\nE", LETTERS_AS_OPTIONS, None),
        ("That's right!", PLACES, None),
        ("The man has left the room.", PLACES, None),
        ("Left: cat. Right: dog.", PLACES, None),
        ("Right, so it is above.", PLACES, "C"),
        ("As stated above, it is below.", PLACES, "D"),
        ("The second one.", ("one", "two"), None),
        ('The sign says "No".', ("Yes", "No"), None),
        ("bluish-green", COLOURS, None),
        # dialects of thought, and marks around the answer
        ("<unused94>thought\nThe answer is A.\n<unused95>B", COLOURS, "B"),
        ('<think type="deep">A</think>B', COLOURS, "B"),
        ("<antThinking>A?</antThinking>B", COLOURS, "B"),
        ("<reflection>A?</reflection><output>B</output>", COLOURS, "B"),
        ("C<｜end▁of▁sentence｜>", COLOURS, "C"),
        ("<final>B</final>", COLOURS, "B"),
        ("\\boxed{\\rm C}", COLOURS, "C"),
    ],
)
def test_replies_of_a_second_round(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The wrong answer is yes.", None),
        ("I don't think the answer is yes.", None),
        ("If there were a dog, the answer would be yes, but there is none, so no.", 1),
        ('"Yes" would be wrong.', None),
        ("No image was provided.", None),
        ("No answer.", None),
        ("Is it yes or no? No.", 1),
        ("是否有狗？是。", 0),
        ("回答：否", 1),
    ],
)
def test_yes_and_no_of_a_second_round(text: str, expected: int | None) -> None:
    assert parse_yes_no(text).choice == expected


# --- what a reply does not assert, and bare mentions in forms that say nothing of the subject: one line a kind


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        # supposed, reported, former, asked
        ("I would have said A, had the roof been red.", COLOURS, None),
        ("I would have said A, but the paint is blue.", COLOURS, "B"),
        ("If it is the left car, the answer is B.", COLOURS, None),
        ("Suppose the answer is A. Then the roof must be red.", COLOURS, None),
        ("Many students choose B here.", COLOURS, None),
        ("My colleague thinks the answer is A.", COLOURS, None),
        ("They all chose D; I choose A.", COLOURS, "A"),
        ("My first thought was B.", COLOURS, None),
        ("I almost chose B. Then I saw the green door. C.", COLOURS, "C"),
        ('Output format: {"answer": "A"}', COLOURS, None),
        ("有人会选A。", CHINESE, None),
        ("我本来想选A。", CHINESE, None),
        ("大家都选A，我选C。", CHINESE, "C"),
        # taken back without another answer
        ("The answer is B. I retract that.", COLOURS, None),
        ("B. Hmm, maybe not.", COLOURS, None),
        ("The answer is B. Then again, it may be C.", COLOURS, None),
        ("<answer>A</answer> is wrong.", COLOURS, None),
        # another one beside it
        ("The answer is B. But C is also correct.", COLOURS, None),
        ("The answer is B. Or C. I don't know.", COLOURS, None),
        ("Answer: A\nAnswer: B", COLOURS, None),
        ("B; C", COLOURS, None),
        ("B. Or C.", COLOURS, None),
        ("The answer is B. The answer is also C.", COLOURS, None),
        ("\\boxed{A}, or equivalently \\boxed{B}", COLOURS, None),
        ("The paint is dark, hence blue.", COLOURS, "B"),
        # bare mentions
        ("The red car's driver wears a hat.", COLOURS, None),
        ("The car stands beside a blue house.", COLOURS, None),
        ("There's nothing red here.", COLOURS, None),
        ("It is nearly red, but hard to see", COLOURS, None),
        ("It could pass for red.", COLOURS, None),
        ("Its body is", COLOURS, None),
        ("The vehicle has a blue body.", COLOURS, "B"),
        ("A cat is lying under the table.", ("cat", "dog"), "A"),
        ("红色的房子旁边有一辆车。", CHINESE, None),
        ("Option A mentions a colour.", COLOURS, None),
        ("Option B fits.", COLOURS, "B"),
    ],
)
def test_only_what_is_asserted_counts(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


# --- forms of recorded replies that were read wrongly, or not at all, in our own words

LONG_ANSWERS = ("it lies on the table", "it hangs on the wall", "it stands on the floor")
ANGLES = ("10 degrees", "45 degrees", "90 degrees")
SIGNED = ("0.1", "-0.2", "-0.1")
MATHS = ("$\\frac{1}{2}$", "$3 a+4 b$", "$36^{\\circ}$", "1")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        # letters in lower case beside their options
        ("(b) blue", COLOURS, "B"),
        ("b) blue", COLOURS, "B"),
        ("The bench seems to be:\n\n(c) green\n\nIts planks reflect little light.", COLOURS, "C"),
        ("The answer is (c) -0.1.", SIGNED, "C"),
        ("(b) 45 degrees", ANGLES, "B"),
        ("(a) 45 degrees", ANGLES, None),
        ("The lamp is off.\n\nc", COLOURS, "C"),
        # a last line that is an option's words
        ("Both ends touch the rim, so it is a diameter.\n\n**True**", TRUE_FALSE, "A"),
        ("The segment runs from O to a point on the circle (A).\n\nFalse", TRUE_FALSE, "B"),
        ("False.\n\nThe halves mirror each other. Therefore, the statement is true.", TRUE_FALSE, None),
        # Chinese: the answer in brackets, after every option was discussed
        ("【解析】选项A是正确的。选项B也是正确的。选项D是错误的。\n【答案】D <eoa>", COLOURS, "D"),
        ("【解析】选项A是正确的。\n【答案】: A, C <eoa>", COLOURS, None),
        ("【解析】选项A是正确的。\n【答案】ABD <eoa>", COLOURS, None),
        ("选项A，这是正确的。选项B也正确。", CHINESE, None),
        # a base model goes on with questions of its own
        ("C\n\nQuestion: Which lamp is lit?\nA. red\nB. blue\nAnswer: A", COLOURS, "C"),
        # steps of an argument name options too
        ("Therefore, the angles at B and C are 45 degrees and 50 degrees.", ANGLES, None),
        ("Therefore, the sum is 90 degrees. Look at the next triangle. It is small. It is red.", ANGLES, None),
        ("The third angle would be 45 degrees. This option is not available in the choices.", ANGLES, None),
        ("Point A might be lighter than point B.", ("A is lighter", "B is lighter"), None),
        ("I would choose point C. The next lamp is lit by the", POINTS, None),
        ("I would choose point C. Therefore, it may be point B.", POINTS, None),
        ("I would choose point C. None of the points fits.", POINTS, None),
        ("The next one is:\n(D) picture D\n\nIt has one more line.", LETTERS_AS_OPTIONS, "D"),
        # cut before the answer
        ("The lamps are red, as the report has it. We look at the cable, the switch and then at the fu", COLOURS, None),
        ("A: red is not likely here, as nothing glows in the dark.\nB: blue may be seen on the do", COLOURS, None),
        ("(A) lamp one\n(B) lamp two\n\nIt could be the blue one", COLOURS, None),
        # a whole clause as an option
        ("In the photo, point B is closer to us. It is on the fence. Point A is on the hill.", DEPTHS, "B"),
        ("Everything considered, it hangs on the wall.", LONG_ANSWERS, "B"),
        ("A.\n\nThe answer is B.", COLOURS, None),
        # mathematics written in two ways
        ("\\boxed{1/2}", MATHS, "A"),
        ("The answer is: \\frac{1}{2}", MATHS, "A"),
        ("3a+4b", MATHS, "B"),
        ("36°", MATHS, "C"),
        ("50 cm", ("$40 \\mathrm{~cm}$", "$50 \\mathrm{~cm}$"), "B"),
    ],
)
def test_recorded_forms(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


@pytest.mark.parametrize("text", ["\\boxed{?}", "<answer>?</answer>"])
def test_a_question_mark_alone_abstains(text: str) -> None:
    assert parse_answer(text, COLOURS).status == "refused"
    assert parse_yes_no(text).status == "refused"
    assert parse_open(text).status == "refused"


CLAUSES = ("狗在桌子下面", "猫在椅子上", "都不对")
DAYS = ("A day is the time from noon to noon", "A night is longer than a day", "Both are equal")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        # the response is over at its first end token: a base model goes on, or repeats the prompt and its example
        ("[正确答案]B<eoa>\n请你回答:\n哪种动物会飞?A:狗;B:猫;C:鸟。\n[正确答案]C<eoa>", CHINESE, "B"),
        ("请写在[正确答案]和<eoa>之间。例如[正确答案]A<eoa>。\n天空是什么颜色?A:红色;B:蓝色;C:绿色。", CHINESE, None),
        ("请写在[正确答案]和<eoa>之间。下面是一个例子:\n草是什么颜色?[正确答案]C<eoa>\n天空呢?", CHINESE, None),
        ("B</s>What is warm? The answer is A.", THREE, "B"),
        ("<eoa> The answer is B<eoa>", THREE, "B"),
        # a list of options, or the beginning of one
        ("A: 错误\nB: 错误\nC:", CHINESE, None),
        ("A: it may be red,\nB: it may be blue,\nC: green", THREE, None),
        ("(a) The coils are wound twice.\n\nThey are long.\n\n(b) The bars are short, therefore", THREE, None),
        ("B. blue\n\nThe colours:\nA. Red is too warm.\nB. Blue is cold.\nC. Green is dark.", THREE, "B"),
        ("(a) We are given the half-life of the pigment." + " It halves every 4 hours." * 6, THREE, None),
        ("ABC\n解析: A选项是正确选项,因为它", CHINESE, None),
        ("A:监视其行动\nB:不能离开\nC:不得会见他人", ("监视行动", "不离开", "不见他人"), None),
        ("A:adjust\nB:negotiate\nC:hold", THREE, None),
        ("答案:A\n\n哪个国家是内陆国?\n\nA:中国\nB:蒙古\n\n答案:B", CHINESE, None),
        ("1. B 2. C", THREE, None),
        ("1、B 2、C 3、A", THREE, None),
        ("狗在桌子下面,猫在椅子上。", CLAUSES, None),
        ("狗在桌子下面,因为它怕猫。", CLAUSES, "A"),
        # letters in angle brackets, and "Answer:" in other languages
        ("The sound is deep.\n<B>", THREE, "B"),
        ("<Reasoning>\nIt is deep.\n</Reasoning>\n<C>\nC\n</C>", THREE, "C"),
        ("<A> B </A>", THREE, None),
        ("Rangi ya majani ni kijani.\n\nJibu: C", THREE, "C"),
        ("আকাশ নীল।\n\nউত্তর: B", THREE, "B"),
        ("Chaguo sahihi ni:\nred\n\nJibu: C", THREE, None),
        ("Thus it grows.\nWrong choice: B", THREE, None),
        # numbers that are no answers
        ("$5!$ is 120, whose largest odd factor is", ("5", "3", "15", "31"), None),
        ("4. The zero: y = 0.\n\n5.", ("5", "2", "8", "7"), None),
        ("Hence the sum of both is:\n\\[ 0", ("1", "2", "-2", "0"), None),
        # cut before the end
        ("因此,体积是 2。\n\n" + "我们看这些条件。" * 12 + "\n\n现在,验证 2 是否是正确的答案", NUMBERS, None),
        ("因此,体积是 2。\n\n**5. 验证答案**\n\n现在,我们来看 3 是否合适", NUMBERS, None),
        ("选项B更近,因为它比较大。" + "我们看它的影子。" * 12 + "我们再来考虑光线的方向和", POINTS, None),
        ("We looked at the shadows and the light of every point. The nearest is:\n\nB. point of view", POINTS, "B"),
        ("Since the first two terms are the same, the ratio is 1.\nThe third term is 29 + 2 * 3 =", NUMBERS, None),
        ("The closest answer is 2 / 3 = 7 / 9 = 2 / 3 = 7", NUMBERS, None),
        # two options, or one that is taken back in the same sentence
        ("Both **option A** and **option B** could be right here.", THREE, None),
        ("The correct answer is B (or C, which is the same).", THREE, None),
        ("There are two. Option B: similar to option A, but darker. Both fit.", THREE, None),
        ("The correct answer is:\nA. red is incorrect since the sky is dark.", THREE, None),
        ("Therefore, the number of atoms in jars A and B is 13.", THREE, None),
        ("Option C fits best. Here is why the others are not correct:\n\nA. Red is a warm colour.", THREE, "C"),
        # a sentence in the words of a long option explains; the answer comes after it
        ("A day is the time from noon to noon. Nights differ. The answer is (B).", DAYS, "B"),
        ("Red. The answer is (B).", THREE, None),
    ],
)
def test_replies_of_further_models(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The sign says noodles. There is no mention of a town, so I cannot confirm it.", None),
        ("It is hard to tell, but no.", 1),
        ("I cannot see it clearly, but yes, there is a dog.", 0),
    ],
)
def test_no_before_a_noun_is_no_answer_of_who_cannot_tell(text: str, expected: int | None) -> None:
    assert parse_yes_no(text).choice == expected


TIMES = ("2:50 P.M.", "10:15 A.M.", "12:55 P.M.")
CLUBS = ("French club", "math club", "Spanish club")
TESTS = ("Perform a skin biopsy", "DNA test for CFTR", "ultrasound of the neck")
SERMONS = ("The Declaration of Rights", 'The sermon "Sinners in the Hands of a God"', "A letter to the king of France")
WHETHERS = ("Whether the mean is shared", "Whether the paint is dry", "The number of the lamps")
WAYS = ("it may be red when it is hot", "it may be blue when it is cold", "it may be green")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        # "the answer is B" in other languages: only a capital letter, not after a denial, not one of two
        ("Jibu ni B", COLOURS, "B"),
        ("La respuesta correcta es la B.", COLOURS, "B"),
        ("La respuesta no es B.", COLOURS, None),
        ("La respuesta es A o B.", COLOURS, None),
        ("A resposta correta é a letra C, pois o carro é verde.", COLOURS, "C"),
        ("Resposta: A, C e D.", COLOURS, None),
        ("A alternativa correta é a B.", COLOURS, "B"),
        ("La opción A es roja.", COLOURS, None),
        ("Die richtige Antwort ist B, weil das Auto blau ist.", COLOURS, "B"),
        ("La réponse est donc B.", COLOURS, "B"),
        ("Jawaban yang benar adalah B. biru", COLOURS, "B"),
        ("Đáp án đúng là B", COLOURS, "B"),
        ("Poprawna odpowiedź to B.", COLOURS, "B"),
        ("正解はBです。", COLOURS, "B"),
        ("정답은 B입니다.", COLOURS, "B"),
        ("الإجابة الصحيحة هي B", COLOURS, "B"),
        ("The sound is deep. <C C>", COLOURS, "C"),
        ("The sound is deep. <C B>", COLOURS, None),
        # a base model goes on with questions of its own, named or not
        ("It is on.\nThe answer is True\n\nProblem:\nIs 4 prime?\nSolution:\nThe answer is False", TRUE_FALSE, "A"),
        ("The answer is B.\n\n### Question 2: Which lamp is lit?\nThe answer is C.", COLOURS, "B"),
        ("B\n\nHuman: Which lamp is lit?\nAssistant: C", COLOURS, "B"),
        (" C\n\nThe lamp hangs in which room?\n\nA. The kitchen\nB. The hall\nC. The gar", COLOURS, "C"),
        ("Answer: B\nA lamp hangs in the hall. It is\nA) warm\nB) cold\nC) dim", COLOURS, "B"),
        ("B\n\nA. Red is wrong, as it is warm.\nB. Blue is cold.", COLOURS, "B"),
        ("Sure, to repeat it:\n\n**Question:** Which lamp is lit?\nA. red\nB. blue\n\n**Answer:** B", COLOURS, "B"),
        ("The professor thinks the best answer is D, so let us look at", COLOURS, None),
        # two answers in two closed tags: the second one counts only where the first is taken back
        ("<answer>A</answer>\nWhich lamp is next? So it is <answer>B</answer>", COLOURS, None),
        ("<answer>A</answer> Therefore, the final one: <answer>B</answer>", COLOURS, None),
        ("<answer>A</answer> Wait, the car is blue. <answer>B</answer>", COLOURS, "B"),
        # two letters after a cue, small ones too
        ("The answer is (a) and (b).", COLOURS, None),
        ("The answer is (c) or (d)", COLOURS, None),
        ("The answer is (c).", COLOURS, "C"),
        # what is said of another option does not void the answer
        ("The answer is (B).\n\nOption (A) is incorrect. Option (C) is also incorrect because it ", COLOURS, "B"),
        ("The answer is (B). " + "The sea is blue. " * 21 + "Option (C) is also incorrect.", COLOURS, "B"),
        ("Answer: C\n\nGreen lamps need the least light.", COLOURS, "C"),
        ("A. Red - some say so.\nB. Blue - if it is cold.\nC. Green - no.\n\nThe answer is D. yellow.", COLOURS, "D"),
        ("C. A letter to the king of France: this option is not the best one, as he was ill.", SERMONS, None),
        # each option is judged, and more than one is right; the answer of a reply that goes in circles
        (
            "A) A is closer.\n\nThis is true.\n\nB) B is closer.\n\nThis is true. B is closer, as it is large.",
            ("A is closer", "B is closer", "Both are near"),
            None,
        ),
        ("Yes, it is. The answer is False.\n" + "This answer is right.\nThis answer is bad.\n" * 40, TRUE_FALSE, None),
        ("Heat is the most likely cause. The most likely cause of that is increased wear.", ("heat", "wear"), None),
        # cut with "...", or in mid-sentence
        ("Option A: It may be red, as the sun is warm and it is old. It does not shine like mor...", COLOURS, None),
        ("So it is more of a plan, which is similar to how blue lamps are used on the", COLOURS, None),
        # a statement that is true or false
        ("The sum is 4. So the answer is yes.", TRUE_FALSE, "A"),
        ("No, the lamp would not do that.", TRUE_FALSE, "B"),
        ("No one knows the lamp.", TRUE_FALSE, None),
        ("No, a lamp would not do that.", TRUE_FALSE, "B"),
        ("C" + "<PAD_TOKEN>" * 9, COLOURS, "C"),
        ("B<end_of_turn>\nThe answer is C", COLOURS, "B"),
        ("From what we see, option B seems to be the most likely answer. The sky is dark and the se", COLOURS, "B"),
        # times of day
        ("The concert begins at 10:15 A.M.", TIMES, "B"),
        ("The concert lasts from 10:15 A.M. to 12:55 P.M.", TIMES, None),
        # what has the most of something; what is to be done
        ("The Spanish club has the fewest members.", CLUBS, "C"),
        ("The French club does not have the fewest members.", CLUBS, None),
        ("She coughs. The best next step is an ultrasound of the neck. A DNA test for CFTR may come.", TESTS, "C"),
        ("She coughs. The best way to confirm it would be to order a DNA test for CFTR.", TESTS, "B"),
        ("She coughs. The best way would be to perform a skin biopsy.", TESTS, "A"),
        # options that are spelt out, whatever words they have
        ("Sure! I would choose option B: Whether the paint is dry.", WHETHERS, "B"),
        ("I would select option B: blue. It is a cold colour, as many that we know fr", COLOURS, "B"),
        ("Therefore, option B is the correct answer.\n\nThe colours of the car may fa", COLOURS, "B"),
        ("The sky is cold, making option B the strongest one.", COLOURS, "B"),
        ("The best fit would be:\n\nB. The sermon \"Sinners in the Hands of a God\"\n\nBoth speak of", SERMONS, "B"),
        ("The best fit would be:\n\nC. A letter to the king from 1700\n\nBoth speak of fate and of the", SERMONS, "C"),
    ],
)
def test_replies_of_weak_and_foreign_models(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


SECTIONS = "### A. Updated Reasoning\n\n1. **Paint**: it has dried.\n\n### B. Updated Answer\n\n"


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        # letters that number the sections of an argument, not the options
        (SECTIONS + "**(C) Green**", THREE, "C"),
        (SECTIONS + "**The most likely colour of the car is (B) Blue.**", THREE, "B"),
        ("**A. The Question**\nWhat is it?\n\n**B. Conclusion**\n\n**Answer: (B) blue**", THREE, "B"),
        # a last line says more than a further thought that begins with a letter
        ("It is (B). Wait, option (C) is about ships. I think of cars.\n\n**Final Answer**\n\nA", THREE, "A"),
        # the runner-up
        ("The cheapest option is B) blue. The next cheapest option is C) green.", THREE, "B"),
        # two answers after one cue, with reasons
        ("### Answer:\n\n- **(A) red**: This is true.\n- **(C) green**: This is also true.", THREE, None),
        # what would be chosen with more to see
        ("If I had the values from Figure A, I would select the one that fits.", ("A", "B", "C"), None),
        ("If I had to choose, it would be B.", THREE, "B"),
        # a part of a list
        ("Painting IV (C) Painting V", THREE, None),
        ("The door will close slower (A)", THREE, "A"),
        # "\\[" of a molecule opens no formula that hides what follows
        ("Option A is plain: `C(\\[O-])`.\n\nThe second one fits.\n\n$\\boxed{B}$", THREE, "B"),
        ("\\boxed{I_m = q/2}", ("q_0", "I_m", "q"), None),
        # "has the same" describes
        ("It has lines. Squares are joined. Some are red. Option A has the same number, but they differ.", THREE, None),
    ],
)
def test_letters_that_number_or_describe(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


def test_no_mention_is_no_answer() -> None:
    assert parse_yes_no("There is no mention of the weather in the video, so it is unclear.").choice is None


LABEL = ("sexist", "not sexist")
OPEN_END = "Here is why.\n\nThe product is either B. x or C. y. It is difficult to definitively choose between the two."


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        # the end concludes another option than an answer before it
        ("The answer is A. After checking, the paint is new. So option C is correct.", THREE, None),
        ("**Answer: B**\n\nThe paint is new. Therefore, option C is the correct one.", THREE, None),
        ("### Answer:\n- (A) x: True, dry.\n- (B) y: True.\nThe best one is:\n\n(C) z", ("1", "2", "3"), None),
        ("The answer is A. So option A is correct.", THREE, "A"),
        ("The answer is A.\n\nThe other options are not right because:\n\nOption B: It is the best known.", THREE, "A"),
        ("So option C is correct. \\boxed{B}", THREE, "B"),
        ("The best choice is supported by the red paint.\n\nThe next step is:\n\n(C) green", THREE, None),
        ("The correct one is (A). I looked.\n\nBy the data, the car is most likely a new one (Option B).", THREE, None),
        # two that are left open
        ("The correct option is A for metals. " + OPEN_END, THREE, None),
        ("The correct answer is:\n\nC. 3D (by parity)\nor\nB. 3P (by spin)", THREE, None),
        # a figure that is asked for is no option
        ("I need to see Figure A to answer this.", ("A", "B", "C"), None),
        ("To answer, I would need to look at panel (B).", THREE, None),
        ("Please provide Image A.", ("A man walks", "A dog", "A cat"), None),
        ("Without seeing Figure B, I cannot say.", ("B", "C", "D"), None),
        ("The answer is in Figure B.", ("A", "B", "C"), "B"),
        # "wait a moment" takes back
        ("The answer is B. Wait a minute, it is C.", THREE, "C"),
        # a heading above the answer
        ("1. It dried.\n\n### Updated Answer\n\n(C) green one\n\nThis option fits, for A and B are old.", THREE, "C"),
        ("Adding these up, the number of atoms is:\n\n**C. 10**", THREE, "C"),
        # a prompt that was decoded with the response
        ("Classify it as 'sexist' or 'not sexist'.\nText: Hi.\nSexism Label:  Not Sexist<|endofchunk|>", LABEL, "B"),
        ("A chat between two. USER: (A) red (B) blue answer: A\nanswer:  ASSISTANT: B", THREE, "B"),
        ("Classification: Sexist\n\nReason: It is not kind.", LABEL, "A"),
    ],
)
def test_what_the_end_of_a_reply_says(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # a call or a key in place of a sentence
        ('It is red.\nAction: Answer("C")', "C"),
        ('The one that fits best is the red one.\nAction: Answer("B")', None),
        ('{"thoughts": "it is red", "answer_choice": "B"}', "B"),
        ('{"answer": "B"}', "B"),
        ("Choice_A is too small, so it is out.\nSolution: Choice_C", "C"),
        ("Solution: Choice_B or Choice_C.", None),
        ('The closest option is A: red, but it is not right.\nAction: Answer("None of the above")', None),
        ('D may be correct.\nAction: Answer("A or B or D")', None),
        # lists that judge nothing: the question repeated, or a further one
        ("A: red\nB: blue\nC: green\nD: the left side of the dog", None),
        ("A: red\nB: blue\nC: green\nD: the left side of the dog\nA: red\nB: bl", None),
        ("A: rouge\nB: bleu\nC: vert\nD: jaune\nA: rouge\nB: bleu\nC: vert", None),
        ("A. red\nB. blue\nC. green\nD. the left side of the dog\n\nThe answer is B.", "B"),
        ("B\nWhich is it?\nA: a cat\nB: a dog\nC: a horse\nB", "B"),
        ("A: rouge; B: bleu; C: vert; D", None),
        ("Which?\nA: red\nB: blue\nC: green\nD: the left side of the dog\nIt may be the left side of the dog.", None),
        ("Which is it?\nA: red\nB: blue\nC: green\nD: the left side of the dog\n\nB", "B"),
        ("[正确答案]C\n下列哪一项?A:甲;B:乙;C:丙;D:丁。\n[正确答案]D", None),
        ("正确答案:A\n下列哪一项正确?A:甲;B:乙;C:丙;D:丁。正确答案:B\n下列哪一项正确?A:甲;B:乙", None),
        # what is needed is not chosen
        ("Therefore, I need option A.", None),
    ],
)
def test_keys_calls_and_lists(text, expected):
    assert letter(text) == expected


def test_a_figure_that_is_needed_is_no_option():
    for options in (("Figure A", "Figure B"), ("A is nearer", "B is nearer")):
        assert letter("Therefore, I need Figure A.", options) is None


def test_letters_that_are_other_options_say_nothing_alone():
    elements = ("As", "P", "Sb", "B")
    assert letter("Boron (B) cannot serve as one.\n\nSolution: Choice_D", elements) is None
    assert letter("The answer is (C).", elements) == "C"


def test_an_end_that_rejects_another_option_is_no_answer():
    options = ("应在3日内作出决定", "应在5日内作出决定", "可以上诉")
    assert letter("根据规定,应在3日内作出决定。选项C是不正确的。", options) is None


def test_a_list_of_as_many_options_as_there_are_letters():
    options = tuple(f"thing {n}" for n in range(len(LETTERS)))
    listed = "\n".join(f"{x}. {o}" for x, o in zip(LETTERS, options, strict=True))
    assert letter(f"{listed}\nA. thing 0", options) is None
    assert letter(f"{listed}\n\nThe answer is C.", options) == "C"


GRINDERS = ("club", "hall", "mill", "school", "sink")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        # "no" at an item's end, or 更正 as a verb, takes nothing back
        ("The sky is wide.\n\nB. blue – no.\n\nC", COLOURS, None),
        ("B. 应当允许更正;C. 应当驳回;D. 应当允许当场更正;A. 应当告知", ("告知", "更正", "驳回", "允许"), None),
        ("B. 申请人可以提起更正登记", ("提起异议登记", "申请人可以提起更正登记", "起诉"), "B"),
        # a list of the others, or of all, above or below the answer
        (
            "Each answer choice:\n- A) club - vague\n- B) hall - not it\n- C) mill - it is\n\nThe answer is C.",
            GRINDERS,
            "C",
        ),
        (
            "The answer is **D) school**.\n\nOther ones:\n- A) Clubs\n- B) Halls\n- C) Mills\n- E) Sinks in kitchens",
            GRINDERS,
            "D",
        ),
        (
            "The answer is C) mill.\n\nThey do not explain this choice:\n- A) club is far\n- B) hall is out",
            GRINDERS,
            "C",
        ),
        (
            "It would be:\n\n(A) Find a club.\n\nThe final steps:\n\n(B) Hall - go there.\n\n(C) Mill - grind it.",
            GRINDERS,
            None,
        ),
        (
            "The two best reasons are:\n\nA. The club is far.\nD. The school is near.\n\nThese reasons say it.",
            COLOURS,
            None,
        ),
        ("As it is such as a wide string of whole numbers, the answer is (D)", COLOURS, "D"),
        ("Let us look at the answer choices:\n\nB. It is scalable. C. It is the most scalable.", COLOURS, None),
        # an article is no letter
        ("The correct answer: A mill is the tool that grinds.\n\nAnswer: C) mill", GRINDERS, "C"),
        # a dash that begins a line belongs to the list
        ("The answer is C) mill, the more specific and correct answer\n- A) club", GRINDERS, None),
        ("answer\n- 天狗\n\nこれです。", ("狐", "天狗"), "B"),
        ("answer\n- 狐\n- 天狗\n\nどちらか", ("狐", "天狗"), None),
        # two steps are no choice
        ("The best action would be to (B) paint it and then (D) move it.", COLOURS, None),
        # broken off after a reason
        ("Perhaps the way to write it is this, which is option A, because", COLOURS, None),
        # "A:" for "answer"
        ("A: Let us think step by step. The sky is bright. The answer is B.", COLOURS, "B"),
        ("A: Let us think step by step. The sky is bright and", COLOURS, None),
        ("A: it is red, as I see", COLOURS, "A"),
        # what it is characteristic of
        ("The image shows a dark cell. This is characteristic of a **basophil**.", ("basophil", "monocyte"), "A"),
        # a JSON value that is an option, alone of all, and no other answer after it
        ('```json\n{"label": "positive", "why": "like none of the negative ones"}\n```', ("positive", "negative"), "A"),
        ('{"evidence": "not a FAIL", "result": "PASS"}', ("PASS", "FAIL"), "A"),
        ('{"first": "red", "second": "blue"}', COLOURS, None),
        ('{"label": "positive"}\n\nThe final answer is $\\boxed{negative}$', ("positive", "negative"), None),
        ("- **Analysis**: red and blue are there.\n\n- **Conclusion**: blue", COLOURS, "B"),
        # two answers
        ("Yes, there is a dog.\nNo, there is a cat.\nNo", ("Yes", "No"), None),
        ("Yes. No other animal is there.", ("Yes", "No"), "A"),
    ],
)
def test_kinds_of_thirteen_further_sources(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


def test_yes_and_no_as_two_answers_are_unparsed():
    assert parse_yes_no("Yes, there is a dog.\nNo, there is a cat.\nNo").status == "unparsed"
    assert parse_yes_no("Yes. No other animal is there.").choice == 0


JAPANESE = ("老婆", "行灯", "狸", "矢")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("正解は「狸」です。", "C"),
        ("正解は **狸** です。\n\n老婆に化けるとされています。", "C"),
        ("答え: 狸", "C"),
        ("狸です。", "C"),
        ("答えは B である", "B"),
        ("Aは間違いです。正解はDです。", "D"),
        ("正解は狸です。老婆ではありません。", "C"),
        ("正解は「狸」ではありません。", None),
        ("正解はAではなくBです。", None),
        ("答えは「A」ではない", None),
        ("正解は狸か矢です。", None),
        ("回答は「狸」または「矢」です。", None),
        ("答えはわかりません。", None),
    ],
)
def test_japanese_replies(text: str, letter: str | None) -> None:
    choice = parse_answer(text, JAPANESE).choice
    assert choice == (None if letter is None else "ABCD".index(letter))


LAWS = ("甲享有隐私权", "乙应当赔偿", "丙应当归还", "丁没有过错")
SHORT_LAWS = ("【甲】应为【乙】", "【丙】应为【丁】", "【戊】应为【己】")
VIEWS = ("观点1和观点2", "观点2和观点3", "观点1和观点1", "观点2和观点2")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        # a list of invented options that breaks off at its next letter
        ("\nA) 36\nB) 37\nC) 38\nD", COLOURS, None),
        ("\nA. 1\nB. 2\nC. 3\nD. ", COLOURS, None),
        ("A. red\nB. blue\nC. green\nD. yellow\n\nB", COLOURS, "B"),
        ("* A: -7\n* B: -8\n* C: -9\n\nTherefore, the answer is (D).", COLOURS, "D"),
        # the first option, written down once more, breaks off
        ("问题: 下列说法中，正确的是\nA: 甲享有", LAWS, None),
        ("根据选项的内容，可以看出：\n\nA:", LAWS, None),
        ("1. A: 甲享有\n2", LAWS, None),
        ("选项A：甲享有隐 \n\n选项", LAWS, None),
        ("A. 甲享有隐私权。", LAWS, "A"),
        ("答案：\nA: 甲享有", LAWS, "A"),
        ("生产经营的说法不正确的是: D\n\nA: 甲享", LAWS, "D"),
        # an option a line, in whatever order
        ("B: 乙应当赔偿甲, \nD: 丁没有过错", ("甲享有,", "乙应当赔偿,", "丙应当归还,", "丁没有过错"), None),
        ("B: 乙应当赔偿\nA: 甲享有隐私权\nD: 丁没有过错", LAWS, None),
        ("【甲】应为【乙】\n【丙】应为【丁】\n【", SHORT_LAWS, None),
        # a letter and another option's words; a letter that is discussed; a label in brackets
        ("A、丁没有过错。", LAWS, None),
        ("解释:\n- A选项中甲的行为", LAWS, None),
        ("5번: [B]에서 학생 3은 지적하고 있지 않습니다. 즉, 비판하고 있습니다.", COLOURS, None),
        # a letter before its explanation
        ("D解析: 本题考查隐私", LAWS, "D"),
        ("D解析: 观点1和观点1正确，观点2", VIEWS, None),
        # one option called right and wrong, or two called right
        ("A项表述正确，B项表述正确，C项表述错误。故C项表述正确。", LAWS, None),
        ("C项表述错误。经查，C项表述正确。", LAWS, None),
        ("选项C表述错误。因此，答案为C。", LAWS, "C"),
        (
            'In this case, the best action would be to (A) keep driving but adhere to the sign "Speed Limit 80 km/h" '
            "or (B) drive at 80 km/h if there are no limits displayed.\n\nAlways follow the signs.",
            ("Speed up", "Stop the car", "Change to other lane"),
            None,
        ),
        # one letter after another, in small letters; a further question in another language
        ("a: 異常なし。b: 貧血なし。c: 正しい。d: 誤り。", COLOURS, None),
        ("b: 青は正しい。", COLOURS, "B"),
        ("目の色は青である。\n問題: 次のうち正しいのはどれか。\n答え: d", COLOURS, None),
        # the answer behind the last sentence, in another language; a letter with its noun
        ("O azul (B) não aparece. O vermelho (A) também não. Nada mais se vê. Resposta: C.", COLOURS, "C"),
        ("Caption B", ("The sky turns red", "The sky turns blue"), "B"),
    ],
)
def test_lists_that_break_off_and_judged_options(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He served until 1953.\nIt came in 1961.\nIt came late. Therefore, it had no effect on him.", None),
        ("Amy: No, she does not.\nIt is up.\nBen: No, he does not.\nTherefore, the coin is up.", None),
        ("He was old. Was he there? Yes, in 1932.\nHe was ill.\nThere is no way to know for sure.", None),
        ("No, it cannot. It is small. It is old. Therefore, it stays.", 1),
        ("It is old.\nIt is empty.\nIt is red.\nYes, it floats.", 0),
    ],
)
def test_no_in_an_argument_is_a_step(text: str, expected: int | None) -> None:
    assert parse_yes_no(text).choice == expected


ANSWERED, EXPLAINED = "The wall is bright. The answer is B.", "The wall is bright and the paint is new."
OTHER_QUESTION = "Which animal barks?\nA. Cat\nB. Dog\nC. Cow\nD. Hen"
RUNS_ON = (
    f"\n\nQuestion 2\n{OTHER_QUESTION}\nCorrect answer: C",
    f"\n\n## Problem 7\n{OTHER_QUESTION}\nSolution: the answer is C.",
    f"\n\n### Question\n{OTHER_QUESTION}\n\n### Answer\nC",
    f"\n\nExercise 4. {OTHER_QUESTION}\nAnswer: C",
    f"\n\nNext question: {OTHER_QUESTION}\nThe correct answer is (C).",
    f" [INST] {OTHER_QUESTION} [/INST] The answer is C.",
    f"\n<|user|>\n{OTHER_QUESTION}\n<|assistant|>\nC. ",
    f"\n<start_of_turn>user\n{OTHER_QUESTION}<start_of_turn>model\nC",
    f"\nuser\n{OTHER_QUESTION}\nassistant\nThe answer is C.",
    f"\n\nFrage: {OTHER_QUESTION}\nAntwort: C",
    f"\n\nPregunta 3: {OTHER_QUESTION}\nRespuesta: C",
    f"\n\nВопрос: {OTHER_QUESTION}\nОтвет: C",
    f"\n\nPertanyaan: {OTHER_QUESTION}\nJawaban: C",
    f"\n\nCâu hỏi: {OTHER_QUESTION}\nĐáp án: C",
    f"\n\n문제 2. {OTHER_QUESTION}\n정답: C",
    f"\n\n{OTHER_QUESTION}\nAnswer: C",
    f"\n\n2. {OTHER_QUESTION}\n\nC",
)


@pytest.mark.parametrize("further", RUNS_ON)
def test_the_first_answer_counts_where_a_response_runs_on(further: str) -> None:
    assert letter(ANSWERED + further) == "B"
    assert letter(f"B{further}") == "B"
    assert letter(EXPLAINED + further) is None


def test_two_answers_around_a_list_where_the_options_are_mere_letters():
    options = ("A", "B", "C", "D")
    assert letter(f"It is bright.\n\nAnswer: B\n\n{OTHER_QUESTION}\nAnswer: C", options) is None
    assert letter(f"It is bright.\n\n(B)\n\n{OTHER_QUESTION}\nAnswer: C", options) is None
    assert letter(f"It is bright.\n\n(B)\n\n{OTHER_QUESTION}\nAnswer: B", options) == "B"


def test_this_question_repeated_is_no_further_one():
    listed = "\n".join(f"{x}. {o}" for x, o in zip("ABCD", COLOURS, strict=True))
    assert letter(f"Let us read it once more.\nWhich colour is it?\n{listed}\nThe answer is C.") == "C"
    assert letter("Let us see.\nHere are things:\nA. Cat\nB. Dog\nC. Cow\nD. Hen\nThe answer is C.") == "C"
    assert letter("<s>[INST] Which colour is it? (A) red (B) blue [/INST] (B) blue.\n\nThe wall is") == "B"


EXAMPLES = "I look at examples first.\n\nExample 1: a cat. The answer is A.\n\nExample 2: a dog. The answer is B.\n\n"
LIT = "The wall is lit from above. It was painted last year. A lamp stands there. "


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        # a thought that goes through examples before its answer
        (EXAMPLES + "Now the wall itself: it is green. \\boxed{C}", COLOURS, "C"),
        (EXAMPLES + "Now the wall itself: it is", COLOURS, None),
        # a long thought that is cut far behind the last answer that it weighed
        ("The wall is lit. " * 20 + "Maybe the answer is B. " + "But the lamp is on. " * 30 + "Then it", COLOURS, None),
        ("The wall is lit. " * 20 + "Maybe the answer is B. " + "But the lamp is on. " * 30, COLOURS, "B"),
        ("The answer is B. " + "The lamp is on. " * 60 + "Then it", COLOURS, "B"),
        ("The lamp is on. " * 60 + "The answer is B. However", COLOURS, None),
        ("The lamp is on. " * 60 + "The answer would be A.\nBut ", COLOURS, None),
        # cut within a conclusion, a list, a bracket, a description of each choice
        ("It was day. Then Ann took the blue one, so Ben has the red one now and Eve the gr", COLOURS, None),
        ("It was day. The lamp is off, and the sky is dark. So it must be the red one", COLOURS, "A"),
        ("(A) is said to be red, which is odd.\n(B) is said to be blue, which", ("(a)", "(b)"), None),
        ("It has nothing red, and the wall was painted last year.\n\nOption (C", COLOURS, None),
        ("I go through each answer choice:\n\n(A) a red wall that", COLOURS, None),
        (LIT + "\nFirst step: Ann\nSecond step: Ben\nThird step: C", COLOURS, None),
        ("So, final answer: 정답: B", COLOURS, "B"),
        # a label within a description is no answer
        (f"**The facts**:\nDeceased: D\nHeirs: two\n\n{LIT}They have no share.", COLOURS, None),
        ("Long thought about it.\n\nThe final answer is ###C###", COLOURS, "C"),
        # options that are described, or named where a sentence begins
        (f"Option (A) states that it is bright. Option (B) states that it is not bright. {LIT}", COLOURS, None),
        (LIT + 'Option (C) "is gr', COLOURS, None),
        ("It is as shown in option (C).", COLOURS, "C"),
        ("It is the one of option (D), which is dark. The others do not fit.", COLOURS, "D"),
        ("As the wall is lit, the colour of it is: (B) blue as the sea", COLOURS, "B"),
        (f"The owl sits on the left, so {LIT}The", ("The owl sits on the left", "A hawk is left"), None),
        # two answers in a row
        ("The wall is bright. The correct answer is (B). (A)", COLOURS, None),
        # a number that may be a place in the list or a value
        ("Answer: 4. 1", ("4", "2", "3", "1"), None),
        ("Answer: (4) 1", ("4", "2", "3", "1"), None),
        ("Therefore, the correct option is (2).", ("0", "1", "2", "3"), None),
        ("The correct choice is 30.", ("10", "20", "30", "40"), "C"),
    ],
)
def test_responses_that_are_cut_or_name_places(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


POINTS = ("Point C in the image", "Point A in the image", "Point B in the image")
OPTIONS = ("Option B in the image", "none of the rows", "Option A in the image")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        # "point C" is what it says, "(C)" the letter, a bare letter either of them
        ("So the lowest spot is point C.", POINTS, "A"),
        ("The lowest spot is (C).", POINTS, "C"),
        ("Of these, point A has the greatest height.", ("Point B", "Point D", "Point A", "Point C"), "C"),
        ("(B) Point A in the image", POINTS, "B"),
        ("Answer: C", POINTS, "C"),
        ("Of all of them the spot with the lowest height is C, as the legend says.", POINTS, None),
        ("(C) Point C in the image", POINTS, None),
        ("The answer is (B). Point B is the deepest.", POINTS, None),
        # "option B" may be either where the options speak of options
        ("The correct answer is option B.", OPTIONS, None),
        ("Option (C) is the correct answer.", OPTIONS, "C"),
        ("Answer: (B), option A", OPTIONS, None),
        ("Answer: (A), option B", OPTIONS, "A"),
        ("The correct choice is (B), none of the rows.", OPTIONS, "B"),
        # a statement about a country is no label
        ("Country A is large. The answer is C.", ("country B has more rain", "country A has more", "same"), "C"),
        # points are not options where these are numbers
        ("Point D lies at the bottom. Point B lies above it.", ("1.5", "2.5", "3.5", "4.5"), None),
        # options that differ in case only
        ("Her genotype for this gene is Rr.", ("RR", "rr", "Rr"), "C"),
        # the end of an option's words is missing
        ("(A) two hour", ("two hours", "one hour"), "A"),
        # it goes through the options without a choice
        ("(A) red: This one is seen at the top.\n(B) blue: There is not enough light to say.", COLOURS, None),
        ("Answer: A) red, as in the garden. B) blue, as in the hall. C) green", COLOURS, None),
        ("(A) red is what the door has, so it's not red.\n(B) blue cannot be seen.", COLOURS, None),
        # several
        ("From all this the options A (12 m) or B (14 m) are the most likely answers.", ("A", "B", "C"), None),
        ("The correct answer is not listed in the options, but the sign should be a tall triangle.",
         ("square", "triangle"), None),
        ("The correct answers are:\n\nA. one and two\nC. two and three", ("A", "B", "C"), None),
        ("Each, to find the correct answer:\n\nA. one. No.\n\nThe correct answer is B: a trap-free one.",
         ("A", "B", "C"), "B"),
        ("Option A is first. The one that fits best is **the amine (Option C)**. It has the correct groups.",
         ("A", "B", "C"), "C"),
    ],
)
def test_labels_and_walks_through_the_options(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


def test_yes_and_no_in_one_reply() -> None:
    assert parse_yes_no("Answer: No. It is well seen, which means that the answer should be \"Yes\".").choice is None
    assert parse_yes_no("Answer: No. It is well seen that the answer is no.").choice == 1


LETTERS_ONLY = ("A", "B", "C", "D")
ON_THE_WAY = (
    "We go through the steps. First the alkene gives product A. Product B is an alkyne with two signals.\n\n"
    "Option A has four carbons. Option B has a ring. Option C has no methyl group, and option D is a ketone.\n\n"
)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("From these two signals, the compound is **A. 2-methylbutanal**.", "A"),
        ("The product of the last step is therefore **C) pentane**", "C"),
        ("The number of isomers is 22 (option D).", "D"),
        ("The compound that fits best is pentane (Option C). It has the right groups.", "C"),
        ("The energy is about 3.1 MeV, matching option B.", "B"),
        ("The energy is about 3.1 MeV, i.e. (B).", "B"),
        ("**(B) 3.1 MeV**", "B"),
        ("✅ **B. 3.1 MeV**", "B"),
        ("따라서 가장 적절한 치료는 **B. 수술**입니다.", "B"),
        ("따라서 B가 정답입니다.", "B"),
        (r"\boxed{C. \frac{1}{\left(1-\frac{v^{2}}{c^{2}}\right)^{2}}}", "C"),
        ("Option D is a ketone.", None),
        ("(D) The ketone has no such signal.", None),
        ("The first is 11 (option A).\nThe second is 22 (option B).", None),
        ("It is not 22 (option D).", None),
        ("It could be 22 (option D).", None),
        ("Therefore, the permitted one is C. The ones that are NOT permitted are A, B, and D.", None),
        ("Therefore, the correct statements are:\n\nC. It is heavy.\nD. It is light.", None),
    ],
)
def test_the_end_of_a_long_reply(end: str, expected: str | None) -> None:
    assert letter(ON_THE_WAY + end, LETTERS_ONLY) == expected


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        (r"So the angle is $\boxed{\textbf{(C) }50^\circ}$.", ("$40^\\circ$", "$45^\\circ$", "$50^\\circ$"), "C"),
        ("<rsn>It turns.</rsn>\n<ans>1. Turn left – It turned to the left.</ans>", ("Turn right", "Turn left"), "B"),
        ("Option (A) is a planet.\nOption (B) is a star.\nOption (C) is a moon.", LETTERS_ONLY, None),
        ("Option (A) is a planet.\nOption (B) is a star.\nThe best answer is: (B).", LETTERS_ONLY, "B"),
    ],
)
def test_boxes_tags_and_walks(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        # an answer that names none of the options, above a reason that mentions one
        ("Answer Choice: [lamp]\nConfidence: [0.8]\nReasoning: [There is a lamp, and a cat under it.]",
         ("dog", "cat"), None),
        ("Answer: lamp. There is a cat under the lamp.", ("dog", "cat"), None),
        ("Answer: none of these\nThe picture shows a cat.", ("dog", "cat"), None),
        ("Answer Choice: [cat]\nConfidence: [0.8]\nReasoning: [There is a lamp, and no dog.]", ("dog", "cat"), "B"),
        # walks: what is said of each option behind its letter
        ("(A) 2: Both of them float.\n(B) 1: Only the ball is above, so it's not one of them.\n"
         "(C) 0: There is none that can float.\n(D) 3: This has all of them, but only the ring would sink.",
         ("2", "1", "0", "3"), None),
        ("(A) an hour: It would be gone, not an hour away.\n(B) half an hour: So it may be half an hour.\n"
         "(C) half a day: This doesn't match.\n(D) a quarter: The shortest of these, but it doesn't fit the plan.",
         ("an hour", "half an hour", "half a day", "a quarter"), None),
        # what is less is not chosen by that, nor what "will not"
        ("Therefore, sample B should be slightly less than that of sample A.", ("sample B", "sample A", "same"), None),
        ("The lamp of option A is warm. Therefore, it will not go out first.", COLOURS, None),
        ("Based on the photo, the most likely one is:\n(A) red or\n(D) the left side of the dog\nHowever, it's hard to "
         "definitively choose between (A) and (D).", COLOURS, None),
        ("There is no spring in it, as in a red one. Therefore, it is not likely to be red.", COLOURS, None),
        # a list of the options, and a last item beside another letter
        ("The lamp is closer to us.\n\n(A) chair (B) lamp", LETTERS_ONLY, None),
        ("The lamp is closer to us (B).\nReason: the chair is at the wall.\n(A) chair", LETTERS_ONLY, None),
        # "the answer provided" is somebody else's; a tag that declines
        ("The place is blue. The answer provided is red, which is another colour.", COLOURS, "B"),
        ("<CONCLUSION> I'm sorry, I cannot assist with this, as it shows a thing that is not red. </CONCLUSION>",
         COLOURS, None),
        # what we can infer is a conclusion
        ("Based on the photo, we can infer that the plane is made of wood, like those built by Ada or Bell.",
         ("The plane is made of wood", "The plane is about to start"), "A"),
        ("(A) red: This option is a tree.\n(B) blue: This option is also a tree.\n\nTherefore, it is (C) green.",
         COLOURS, "C"),
        ("We cannot directly compare the two. Both are round. Therefore, the answer to the question is (C) neither.",
         ("left", "right", "neither"), "C"),
        ("So the answer is No - the man did not do it. The best answer is: (B).", YES_NO, "B"),
        # articles
        ("A cat.", ("dog", "cat"), "B"),
        ("the cat", ("A dog", "A cat"), "B"),
        ("A cat, a dog.", ("dog", "cat"), None),
        # "option D" above is no label of the answer below it
        ("Option A in the image is cold.\nOption B is large.\nTherefore, the answer is:\n(C) Option A in the image.",
         OPTIONS, "C"),
    ],
)
def test_answers_that_name_no_option_and_conclusions(text: str, options: tuple[str, ...], expected: str | None) -> None:
    assert letter(text, options) == expected


@pytest.mark.parametrize(
    ("text", "choice", "status"),
    [
        ("No, I cannot determine whether the bridge is longer.", None, "refused"),
        ("No, without their lengths it is not possible to definitively compare them.", None, "refused"),
        ("**Answer:** No, the lengths are not given, so we cannot answer.", None, "refused"),
        ("No, I cannot see a dog in the image.", 1, "answered"),
        ("No, the bridge is not longer.", 1, "answered"),
    ],
)
def test_a_no_that_declines(text: str, choice: int | None, status: str) -> None:
    answer = parse_yes_no(text)
    assert (answer.choice, answer.status) == (choice, status)
