"""What `mutate.py` changes in a module: every single change of a number, an operator, a call or a body, one at a time.

Left alone: texts (so docstrings, messages and help), f-strings, annotations, decorators, `raise`, `assert`, `__all__`,
imports and logging.
"""

import ast
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

Definition = (ast.FunctionDef, ast.AsyncFunctionDef)
Compound = (*Definition, ast.ClassDef, ast.If, ast.For, ast.While, ast.With, ast.Try)
Opaque = (ast.JoinedStr, ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)
UNREAD_FIELDS = ("annotation", "returns", "decorator_list", "type_params", "ctx", "type_comment")
LOGGERS = ("logger", "log", "_log", "_logger", "logging", "warnings")

COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
TWINS = {"min": "max", "minimum": "maximum", "argmin": "argmax", "any": "all", "floor": "ceil", "amin": "amax"}
TWINS |= {twin: name for name, twin in TWINS.items()}


@dataclass(frozen=True)
class Mutation:
    """One change: `old` becomes `new` at `key` of `holder` (a field of a node, or a place in a list).

    `lines`: the first and last line of the statement that it is part of; `imported`: whether that runs when the module is
    imported, not when something is called.
    """

    holder: Any
    key: str | int
    old: ast.AST
    new: ast.AST
    lines: tuple[int, int]
    imported: bool

    def apply(self) -> None:
        """Change the tree."""
        ast.fix_missing_locations(self.new)
        if isinstance(self.key, int):
            self.holder[self.key] = self.new
        else:
            setattr(self.holder, self.key, self.new)

    def describe(self) -> str:
        """What was changed into what, on one line."""
        if isinstance(self.old, Definition):
            return f"body of {self.old.name}() -> {_short(self.new.body[0])}"  # type: ignore[attr-defined]
        return f"{_short(self.old)}  ->  {_short(self.new)}"


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 70 else text[:67] + "..."


def mutations(tree: ast.Module) -> list[Mutation]:
    """All of them, in the order of the source; `tree` is left as it is."""
    return list(_walk(tree, (0, 0), True))


def _walk(node: ast.AST, lines: tuple[int, int], imported: bool) -> Iterator[Mutation]:
    for field, value in ast.iter_fields(node):
        if field in UNREAD_FIELDS:
            continue
        inside = imported and not (isinstance(node, (*Definition, ast.Lambda)) and field == "body")
        for holder, key, child in _children(node, field, value):
            if isinstance(child, Opaque) or _is_silent(child):
                continue
            own = _span(child) if isinstance(child, ast.stmt | ast.ExceptHandler) else lines
            whole = isinstance(child, Definition)
            for new in (*_variants(child), *(_negated(child) if field in ("test", "ifs") else ())):
                span = (child.body[0].lineno, child.end_lineno) if whole else own  # type: ignore[attr-defined]
                yield Mutation(holder, key, child, new, span, inside and not whole)
            yield from _walk(child, own, inside)


def _children(node: ast.AST, field: str, value: Any) -> Iterator[tuple[Any, str | int, ast.AST]]:
    if isinstance(value, ast.AST):
        yield node, field, value
    elif isinstance(value, list):
        yield from ((value, key, child) for key, child in enumerate(value) if isinstance(child, ast.AST))


def _span(statement: Any) -> tuple[int, int]:
    """First and last line of a statement; of one with a body, those of its head."""
    if isinstance(statement, (*Compound, ast.ExceptHandler)):
        return statement.lineno, max(statement.lineno, statement.body[0].lineno - 1)
    return statement.lineno, statement.end_lineno


def _is_silent(node: ast.AST) -> bool:
    """Logging, `__all__`, and a text on its own."""
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
    if not isinstance(node, ast.Expr):
        return False
    root = node.value
    while isinstance(root, ast.Call | ast.Attribute):
        root = root.func if isinstance(root, ast.Call) else root.value
    return isinstance(root, ast.Constant) or (isinstance(root, ast.Name) and root.id in LOGGERS)


def _changed(node: ast.AST, **fields: Any) -> ast.AST:
    new = copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _negated(test: Any) -> Iterator[ast.AST]:
    """A condition turned round, where no other change does it."""
    if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp):
        yield ast.copy_location(ast.UnaryOp(ast.Not(), test), test)


def _variants(node: Any) -> Iterator[ast.AST]:
    """What `node` may become."""
    match node:
        case ast.Constant(value=bool(value)):
            yield _changed(node, value=not value)
        case ast.Constant(value=int(value)):
            yield _changed(node, value=value + 1)
        case ast.Constant(value=float(value)):
            yield _changed(node, value=value * 1.25 if value else 1.0)
        case ast.Compare(ops=[op, *rest]):
            yield from (_changed(node, ops=[kind(), *rest]) for kind in COMPARISONS[type(op)])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in OPERATORS and not _is_text(node):
            yield _changed(node, op=OPERATORS[type(op)]())
        case ast.BoolOp(op=op):
            yield _changed(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            yield operand
        case ast.Call():
            yield from _call_variants(node)
        case ast.Expr(value=ast.Call()):
            yield ast.copy_location(ast.Pass(), node)
        case ast.FunctionDef() if not _is_trivial(node):
            yield _emptied(node)


def _is_text(node: Any) -> bool:
    """Whether a text or a path is put together."""
    sides = (node.value,) if isinstance(node, ast.AugAssign) else (node.left, node.right)
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in sides
    )


def _call_variants(node: ast.Call) -> Iterator[ast.AST]:
    function = node.func
    name = (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )
    if name in TWINS:
        field = "id" if isinstance(function, ast.Name) else "attr"
        yield _changed(node, func=_changed(function, **{field: TWINS[name]}))
    if name == "abs" and node.args:
        yield node.args[0]
    for keyword in node.keywords:
        if keyword.arg is not None and not isinstance(keyword.value, ast.Constant):
            yield _changed(node, keywords=[one for one in node.keywords if one is not keyword])


def _is_trivial(function: ast.FunctionDef) -> bool:
    """Whether nothing but a docstring, `...`, `raise` or `pass` is in the body."""
    return all(
        isinstance(part, ast.Pass | ast.Raise) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        for part in function.body
    )


def _emptied(function: ast.FunctionDef) -> ast.AST:
    """The function giving back its first argument at once; None if it has none or promises none, nothing if it yields."""
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args) if one.arg not in ("self", "cls")]
    nothing = not names or (isinstance(function.returns, ast.Constant) and function.returns.value is None)
    body: list[ast.stmt] = [ast.Return(None if nothing else ast.Name(names[0], ast.Load()))]
    if any(isinstance(part, ast.Yield | ast.YieldFrom) for part in ast.walk(function)):
        body = [ast.Return(None), ast.Expr(ast.Yield(None))]
    return _changed(function, body=[ast.copy_location(part, function.body[0]) for part in body])
