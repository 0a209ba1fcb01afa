"""From a model's free text to an answer, or to an honest status: pure functions, one a kind of question.

`parse_answer` an option of a multiple-choice question · `parse_yes_no` yes or no · `parse_open` numbers and short
texts · `final_answer` the words themselves. Never a guess, never a wrong answer in silence: what cannot be read is
"unparsed", what was cut at the length limit "truncated", and "refused" is a text that declines to answer and gives no
answer either, or abstains by a box with a question mark. ("error" is the backend's.)

Builds on no other package.
"""

from aot.answers.choice import parse_answer
from aot.answers.open import OpenAnswer, parse_open
from aot.answers.text import final_answer
from aot.answers.yes_no import parse_yes_no

__all__ = ["OpenAnswer", "final_answer", "parse_answer", "parse_open", "parse_yes_no"]
