"""What a cell of text holds: JSON, or a list or dict the way that Python and numpy print it, as pandas writes them."""

from __future__ import annotations

import ast
import io
import json
import tokenize
from itertools import pairwise
from typing import Any

_MOST_CHARS = 2**20
"""Of a cell that is parsed as Python."""
_LAYOUT = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
_RAISED = (ValueError, SyntaxError, RecursionError, MemoryError, TypeError, tokenize.TokenError)


def held_in(text: str) -> Any:
    """`["cat", "dog"]`, `['cat', 'dog']`, numpy's `['cat' 'dog']` and `array(['cat', 'dog'], dtype=object)`, dicts of
    these. Anything else, also texts side by side that Python would take for one: `ValueError`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        try:
            if len(text) > _MOST_CHARS:
                raise ValueError("too long") from error
            apart = _side_by_side(text.strip())
            return apart or ast.literal_eval(_Lists().visit(ast.parse(text.strip(), mode="eval")))
        except _RAISED as fault:
            raise ValueError(f"neither JSON nor a list ({type(fault).__name__})") from fault


def _side_by_side(text: str) -> list[str]:
    """The texts of numpy's list, which has no commas; none where no two stand side by side."""
    read = tokenize.generate_tokens(io.StringIO(text).readline)
    tokens = [token for token in read if token.type not in _LAYOUT]
    strings = [token.type == tokenize.STRING for token in tokens]
    if not any(one and other for one, other in pairwise(strings)):
        return []
    if all(strings[1:-1]) and (tokens[0].string, tokens[-1].string) == ("[", "]"):
        return [str(ast.literal_eval(token.string)) for token in tokens[1:-1]]
    raise ValueError("no comma between two texts")


class _Lists(ast.NodeTransformer):
    """`array([...], dtype=object)` as its list."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        is_array = isinstance(node.func, ast.Name) and node.func.id == "array" and len(node.args) == 1
        plain = all(keyword.arg == "dtype" for keyword in node.keywords)
        return node.args[0] if is_array and plain and isinstance(node.args[0], ast.List) else node
