"""First-order mutants of a function: its source with one thing changed, by ``ast`` and in memory.

Each constant nudged, each operator exchanged, each assignment in place made out of place and back, each branch forced,
each index moved, each argument and each statement dropped. Docstrings and what is raised are left alone: only that
something is raised is of interest. Imports the standard library only.
"""

from __future__ import annotations
import __future__

import ast
import copy
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from types import CodeType, FunctionType
from typing import Any

WORDS = {
    "caffe": "torch",
    "tf": "caffe",
    "torch": "tf",
    "channels_first": "channels_last",
    "channels_last": "channels_first",
}
"""What a word is exchanged for; other strings are no choice."""

_OPERATORS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Div,),
    ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}


_FLAGS = __future__.annotations.compiler_flag
"""Annotations of functions inside others are not evaluated, as where they come from."""


@dataclass(frozen=True)
class Mutant:
    """A function with one thing changed: ``what``, from ``before`` to ``after``, at ``place``, its line and column."""

    function: str
    place: str
    what: str
    before: str
    after: str
    definition: ast.FunctionDef

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.function}:{self.place} {self.what}: {self.before} -> {self.after}"

    def code(self) -> CodeType:
        """Its code, to be put in the place of the function's."""
        module = compile(ast.Module([self.definition], []), f"<{self.name}>", "exec", _FLAGS, dont_inherit=True)
        return next(c for c in module.co_consts if isinstance(c, CodeType) and c.co_name == self.function)

    def defaults(self, namespace: dict[str, Any]) -> tuple[Any, ...]:
        """The default arguments."""
        every = ast.Tuple(self.definition.args.defaults, ast.Load())
        expression = ast.fix_missing_locations(ast.Expression(every))
        found: tuple[Any, ...] = eval(compile(expression, "<defaults>", "eval"), namespace)
        return found


def _constants(value: object) -> Iterator[str | int | float]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value - 1, value + 1)
    elif isinstance(value, float):
        digit = Decimal(1).scaleb(int(Decimal(str(value)).as_tuple().exponent))
        yield from (float(Decimal(str(value)) + digit), float(Decimal(str(value)) - digit), value * (1 + 1e-5))
    elif isinstance(value, str) and value in WORDS:
        yield WORDS[value]
    elif value is None:
        yield 0


def _changed(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What a node may become, and in which way."""
    if isinstance(node, ast.Constant):
        for value in _constants(node.value):
            yield "constant", ast.Constant(value)
    if isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)):
        for other in _OPERATORS.get(type(node.op), ()):
            yield "operator", _with(node, op=other())
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in _OPERATORS.get(type(node.ops[0]), ()):
            yield "operator", _with(node, ops=[other()])
    if isinstance(node, ast.UnaryOp):
        yield "operator", node.operand
    if isinstance(node, ast.AugAssign):
        loaded = copy.deepcopy(node.target)
        for part in ast.walk(loaded):
            if isinstance(part, (ast.Name, ast.Subscript, ast.Attribute)):
                part.ctx = ast.Load()
        yield "out of place", ast.Assign([node.target], ast.BinOp(loaded, node.op, node.value))
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        name = node.targets[0].id
        if any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(node.value)):
            whole = ast.Subscript(ast.Name(name, ast.Load()), ast.Constant(...), ast.Store())
            yield "in place", ast.Assign([whole], node.value)
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        for forced in (True, False):
            yield "branch", _with(node, test=ast.Constant(forced))
    if isinstance(node, ast.Slice) and node.step is None and node.lower is None and node.upper is None:
        yield "index", ast.Constant(0)
    if isinstance(node, (ast.Tuple, ast.List)) and isinstance(node.ctx, ast.Load):
        for at in range(len(node.elts) - 1):
            first, second = node.elts[at : at + 2]
            if ast.dump(first) != ast.dump(second):
                yield "order", _with(node, elts=[*node.elts[:at], second, first, *node.elts[at + 2 :]])
    if isinstance(node, ast.Set):
        for at in range(len(node.elts)):
            yield "dropped", _with(node, elts=node.elts[:at] + node.elts[at + 1 :])
    if isinstance(node, ast.Call):
        for at in range(len(node.keywords)):
            yield "dropped", _with(node, keywords=node.keywords[:at] + node.keywords[at + 1 :])
    if isinstance(node, ast.stmt) and not isinstance(node, (ast.FunctionDef, ast.Pass)):
        yield "dropped", ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for field, value in fields.items():
        setattr(changed, field, value)
    return changed


def _kept(node: ast.AST) -> Iterator[tuple[ast.AST, list[tuple[str, int | None]]]]:
    """The nodes that are mutated, each with its path from ``node``."""
    for field, value in ast.iter_fields(node):
        for at, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, (ast.expr_context, ast.operator)):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if field in ("decorator_list", "returns", "annotation"):
                continue
            yield child, [(field, at)]
            if not isinstance(child, ast.Raise):
                yield from ((below, [(field, at), *path]) for below, path in _kept(child))


def mutants(function: FunctionType) -> Iterator[Mutant]:
    """Every first-order mutant of a function, in the order of the source, each once."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    seen = {ast.dump(definition)}
    for node, steps in _kept(definition):
        for what, new in _changed(node):
            # The whole is changed, copied and put right again.
            *above, (field, at) = steps
            place: Any = definition
            for name, index in above:
                place = getattr(place, name) if index is None else getattr(place, name)[index]
            holder, key = (place.__dict__, field) if at is None else (getattr(place, field), at)
            holder[key] = new
            text, changed = ast.dump(definition), copy.deepcopy(definition)
            holder[key] = node
            if text not in seen:
                seen.add(text)
                at_line = f"{getattr(node, 'lineno', definition.lineno)}:{getattr(node, 'col_offset', 0)}"
                before, after = (ast.unparse(n).split("\n")[0] for n in (node, ast.fix_missing_locations(new)))
                yield Mutant(definition.name, at_line, what, before, after, ast.fix_missing_locations(changed))
