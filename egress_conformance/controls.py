"""What controls a case has, read from its code: checks before, after and beside its subject."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator

_CHECKS = {"reaches", "is_blocked", "is_answered", "never_fails", "steadily"}
_SUBJECTS = {"apply", "outbound_traffic_policy", "configured", "second_istio"}


def controls_of(function: Callable[..., object]) -> str:
    """The controls of a case in words, e.g. ``before, after``.

    Args:
        function: the case. Checks that helpers of it make are seen by their name alone.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    found = list(dict.fromkeys(_walk(tree, _Place())))
    return ", ".join(place for place in ("twin before and after", "before", "beside", "after") if place in found)


class _Place:
    """Where in a case the walk is."""

    def __init__(self) -> None:
        self.depth = 0
        self.seen_subject = False
        self.inside: set[str] = set()


def _walk(node: ast.AST, place: _Place) -> Iterator[str]:
    if isinstance(node, ast.With):
        subject = any(_name(item.context_expr) in _SUBJECTS for item in node.items)
        for item in node.items:
            yield from _walk(item.context_expr, place)
        place.depth += subject
        place.seen_subject |= subject
        for statement in node.body:
            yield from _walk(statement, place)
        place.depth -= subject
        return
    if isinstance(node, ast.Call):
        yield from _call(_name(node), place)
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, place)


def _call(name: str, place: _Place) -> Iterator[str]:
    if name == "refuses":
        yield "twin before and after"
    elif name in _CHECKS and not place.depth:
        yield "after" if place.seen_subject else "before"
    elif name in _CHECKS:
        place.inside.add("blocked" if name == "is_blocked" else "served")
        if len(place.inside) > 1:
            yield "beside"


def _name(node: ast.AST) -> str:
    """Of what is called."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
