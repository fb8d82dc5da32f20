"""Finds what must not be in a pure room, by reading its syntax tree: python tools/pure_rooms.py

RULES      1. nothing from outside: no import of a module that does I/O, tells the time or draws random numbers;
              no datetime.now() and its like, no open(), input(), print(), __import__(), io.open.
           2. no question forgotten: a call of `ask` or of any function annotated `-> Asking[...]` is the operand of
              `yield from`; or an argument for a parameter annotated `Asking[...]` (the drivers'); or what a plain
              function that is itself annotated `-> Asking[...]` returns. Anything else makes a generator that
              nobody runs, which no type checker notices in `if f(x):` or in a line of its own.
HOW        names decide. A method is looked up by name in all pure rooms; a name that somewhere means an Asking and
           elsewhere does not is left to the type checker, unless the module or `self` tells which one is meant.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

ROOMS = ("mail", "eximconf", "smtp", "routing", "delivery", "queue", "auth", "headers", "filters")

FOREIGN = frozenset(
    """asyncio concurrent ctypes fcntl ftplib getpass glob http imaplib importlib locale logging mmap multiprocessing
    os pathlib platform poplib pty random resource sched secrets select selectors shutil signal smtplib socket
    socketserver sqlite3 ssl subprocess tempfile termios threading time urllib.request uuid _thread""".split()
)
FOREIGN_MEMBERS = {"io": frozenset({"open", "open_code", "FileIO"}), "urllib": frozenset({"request"})}
FOREIGN_CALLS = frozenset({"open", "input", "print", "breakpoint", "__import__", "exec", "eval"})
WALL_CLOCK = frozenset({"now", "utcnow", "today"})
DATE_CLASSES = frozenset({"datetime", "date"})

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Found:
    """One offence."""

    module: str
    line: int
    words: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.words}"


@dataclass
class Names:
    """What a function name means, over all pure rooms."""

    asking: set[str] = field(default_factory=set)  # some function of this name is annotated -> Asking[...]
    other: set[str] = field(default_factory=set)  # some function of this name is not
    takers: set[str] = field(default_factory=set)  # some function of this name has a parameter Asking[...]


def check(root: Path, rooms: tuple[str, ...] = ROOMS) -> list[Found]:
    """Read the rooms that exist below `root`, a package folder."""
    return check_sources(
        {
            path.relative_to(root.parent).as_posix(): path.read_text(encoding="utf-8")
            for room in rooms
            for path in sorted((root / room).rglob("*.py"))
        }
    )


def check_sources(sources: Mapping[str, str]) -> list[Found]:
    """Check modules given as path and text; they are all taken to be of pure rooms."""
    trees = {module: ast.parse(text, filename=module) for module, text in sources.items()}
    names = Names()
    for tree in trees.values():
        for function in _functions(tree):
            (names.asking if _is_asking(function.returns) else names.other).add(function.name)
            if any(_is_asking(parameter.annotation) for parameter in _parameters(function)):
                names.takers.add(function.name)
    return [
        Found(module, line, words)
        for module, tree in trees.items()
        for line, words in sorted({*_foreign(tree), *_forgotten(tree, names)})
    ]


# ---- rule 1: nothing from outside ------------------------------------------------------------------------------


def _foreign(tree: ast.Module) -> Iterator[tuple[int, str]]:
    dates = _names_of_dates(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    if _is_foreign(alias.name):
                        yield node.lineno, f"imports {alias.name}"
            case ast.ImportFrom(module=str(module), level=0):
                for alias in node.names:
                    if _is_foreign(module) or _is_foreign(f"{module}.{alias.name}"):
                        yield node.lineno, f"imports {module}.{alias.name}"
            case ast.Call(func=ast.Name(id=name)) if name in FOREIGN_CALLS:
                yield node.lineno, f"calls {name}()"
            case ast.Attribute(value=base, attr=name):
                dotted = ast.unparse(base)
                if name in FOREIGN_MEMBERS.get(dotted, ()):
                    yield node.lineno, f"uses {dotted}.{name}"
                if name in WALL_CLOCK and dotted in dates:
                    yield node.lineno, f"asks the wall clock by {dotted}.{name}"


def _is_foreign(module: str) -> bool:
    parts = module.split(".")
    return any(".".join(parts[:end]) in FOREIGN for end in range(1, len(parts) + 1)) or (
        len(parts) > 1 and parts[1] in FOREIGN_MEMBERS.get(parts[0], ())
    )


def _names_of_dates(tree: ast.Module) -> set[str]:
    """How this module writes datetime.datetime and datetime.date."""
    written: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "datetime":
                    written |= {f"{alias.asname or alias.name}.{name}" for name in DATE_CLASSES}
        elif isinstance(node, ast.ImportFrom) and node.module == "datetime":
            written |= {alias.asname or alias.name for alias in node.names if alias.name in DATE_CLASSES}
    return written


# ---- rule 2: no question forgotten -----------------------------------------------------------------------------


def _forgotten(tree: ast.Module, names: Names) -> Iterator[tuple[int, str]]:
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not _means_asking(node.func, tree, parents, names):
            continue
        if not _is_heard(node, parents, names):
            yield node.lineno, f"{ast.unparse(node.func)}(...) is not the operand of `yield from`"


def _means_asking(
    called: ast.expr, tree: ast.Module, parents: Mapping[ast.AST, ast.AST], names: Names
) -> bool:
    """Whether this call makes an Asking, as far as its name tells."""
    if isinstance(called, ast.Name):
        if (local := _local(called, parents)) is not None:
            return local
        name, near = (
            called.id,
            [f for f in _functions(tree) if f.name == called.id and not _class_of(f, parents)],
        )
    elif isinstance(called, ast.Attribute):
        name, near = called.attr, []
        if isinstance(called.value, ast.Name) and called.value.id in ("self", "cls"):
            home = _class_of(called, parents)
            near = [f for f in _functions(tree) if f.name == name and home and _class_of(f, parents) is home]
    else:
        return False
    if near:
        return all(_is_asking(function.returns) for function in near)
    return name == "ask" or (name in names.asking and name not in names.other)


def _local(called: ast.Name, parents: Mapping[ast.AST, ast.AST]) -> bool | None:
    """Does a name that a function around it defines make an Asking? None: there is none. A parameter may be either."""
    function = _function_of(called, parents)
    while function is not None:
        if any(parameter.arg == called.id for parameter in _parameters(function)):
            return False
        if called.id in (inner := _inner_functions(function)):
            return _is_asking(inner[called.id].returns)
        function = _function_of(function, parents)
    return None


@cache
def _inner_functions(function: Function) -> dict[str, Function]:
    """The functions that are defined inside a function, by name."""
    return {
        node.name: node
        for node in ast.walk(function)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node is not function
    }


def _is_heard(call: ast.Call, parents: Mapping[ast.AST, ast.AST], names: Names) -> bool:
    """One of two, as in `yield from (a() if x else b())`, is heard if the whole is. A lambda passes it on to whoever
    gets the lambda: to be an answer itself, as the value of an Asking, it is no good."""
    parent = parents[call]
    while isinstance(parent, (ast.keyword, ast.IfExp)):
        parent = parents[parent]
    match parent:
        case ast.YieldFrom():
            return True
        case ast.Lambda():
            function = _function_of(parent, parents)
            return function is not None and not _is_asking(function.returns)
        case ast.Call(func=func) if func is not call:
            taker = (
                func.attr
                if isinstance(func, ast.Attribute)
                else func.id
                if isinstance(func, ast.Name)
                else ""
            )
            return taker in names.takers
        case ast.Return():
            function = _function_of(call, parents)
            return function is not None and _is_asking(function.returns) and not _is_generator(function)
    return False


def _is_asking(annotation: ast.expr | None) -> bool:
    """`Asking`, `Asking[T]`, `asking.Asking[T]`, and the same in quotes."""
    match annotation:
        case ast.Subscript(value=value):
            return _is_asking(value)
        case ast.Name(id="Asking") | ast.Attribute(attr="Asking"):
            return True
        case ast.Constant(value=str(text)):
            return text.partition("[")[0].rpartition(".")[2].strip() == "Asking"
    return False


def _is_generator(function: Function) -> bool:
    """Whether `yield` stands in this function itself, not only in one inside it."""
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            pending += ast.iter_child_nodes(node)
    return False


@cache
def _functions(tree: ast.Module) -> tuple[Function, ...]:
    return tuple(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def _parameters(function: Function) -> list[ast.arg]:
    given = function.args
    return [*given.posonlyargs, *given.args, *given.kwonlyargs]


def _function_of(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> Function | None:
    while (above := parents.get(node)) is not None and not isinstance(above, ast.Lambda):
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef):
            return above
        node = above
    return None


def _class_of(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> ast.ClassDef | None:
    """The class in whose body, or in whose method's body, this stands."""
    while (above := parents.get(node)) is not None:
        if isinstance(above, ast.ClassDef):
            return above
        node = above
    return None


if __name__ == "__main__":
    offences = check(Path(__file__).resolve().parents[1] / "labkit")
    print("\n".join(map(str, offences)) or "the pure rooms are pure")
    sys.exit(bool(offences))
