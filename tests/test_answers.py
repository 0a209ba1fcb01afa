"""The answer parser against the field's own traps, and against what the reference parsers extract."""

from __future__ import annotations

import json

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
        ("B, although it looks red", None),
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


def test_parity_with_mmmu_on_real_responses(shared_data):
    """The official parser guesses where it is unsure; where ours decides too, they agree."""
    cases = json.loads((shared_data / "parity" / "mmmu_qwen_vl_official.json").read_text())["cases"]
    cases = [c for c in cases if c["question_type"] == "multiple-choice" and not c["fell_back_to_random"]]
    pairs = [(c, letter(c["response"], tuple(c["index2ans"].values()))) for c in cases]
    decided = [(c, ours) for c, ours in pairs if ours is not None]
    assert len(decided) / len(pairs) > 0.94
    assert sum(ours == c["parsed_pred"] for c, ours in decided) / len(decided) > 0.99


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
