"""Make closures of a tree: the mechanical walk.

RULES      a node with a `problem` runs what stands before its mistake and then fails with it: a forced failure or a
           defer met earlier wins, as in Exim's single pass.
TAINT      `wants` says whether anybody above looks at taint: if not, nothing is spent on it.
STANDARDS  Exim specification, chapter "String expansions"
READ NEXT  deciding.py (conditions), each.py, looking.py, calling.py: one family of items each
"""

from __future__ import annotations

from labkit.eximconf.expansion import headers, tree
from labkit.eximconf.expansion.calling import Calling
from labkit.eximconf.expansion.code import Code, asks, constant, pure, side_by_side, strict, written
from labkit.eximconf.expansion.deciding import Deciding
from labkit.eximconf.expansion.each import EachItem
from labkit.eximconf.expansion.env import Env, Step
from labkit.eximconf.expansion.fields import FIELDS
from labkit.eximconf.expansion.looking import Looking
from labkit.eximconf.expansion.operators import OPERATORS, STRICT
from labkit.eximconf.expansion.outcomes import Stop, Tainted, failed, like
from labkit.eximconf.expansion.variables import TAINTED, may_be_tainted
from labkit.mail.asking import Asking


class Compiler(Deciding, EachItem, Looking, Calling):
    """Each method makes Code of one kind of node."""

    def text(self, text: tree.Text, *, wants: bool) -> Code[str]:
        parts = [self.node(part, wants=wants) for part in text.parts]
        if not parts:
            return constant("")
        code = parts[0] if len(parts) == 1 else side_by_side(parts, wants_taint=wants)
        if any(isinstance(part, tree.Literal) and "\0" in part.text for part in text.parts):
            return strict(lambda whole: like(whole.partition("\0")[0], whole), [code], tainted=code.tainted)
        return code

    def node(self, node: tree.Node, *, wants: bool) -> Code[str]:
        code = self.unwatched(node, wants=wants)
        source = getattr(node, "source", "")
        if self.watched and not isinstance(node, (tree.Text, tree.Literal, tree.Broken)):
            return watched(source or _shown(node), code)
        return code

    def unwatched(self, node: tree.Node, *, wants: bool) -> Code[str]:
        if isinstance(node, tree.Literal):
            return constant(node.text)
        if isinstance(node, tree.Variable):
            return variable(node.name, wants=wants)
        if isinstance(node, tree.Number):
            return number(node.number)
        if isinstance(node, tree.Header):
            return header(node)
        if isinstance(node, tree.Text):
            return self.text(node, wants=wants)
        if isinstance(node, tree.Broken):
            return self.broken([], node.problem)
        if isinstance(node, tree.If):
            return self.choice(node, wants=wants)
        if isinstance(node, tree.Operator):
            return self.operator(node, wants=wants)
        if isinstance(node, tree.Item):
            return self.item(node, wants=wants)
        if isinstance(node, tree.Extract):
            return self.extract(node, wants=wants)
        if isinstance(node, tree.Lookup):
            return self.lookup(node, wants=wants)
        return self.each(node, wants=wants)

    def broken(self, before: list[Code[str]], problem: str) -> Code[str]:
        """Run what stands before a mistake, then say it."""

        def expanding(env: Env) -> Asking[str]:
            for code in before:
                yield from code.asking(env)
            raise failed(problem)

        return written(expanding, before)

    def operator(self, node: tree.Operator, *, wants: bool) -> Code[str]:
        if node.problem is not None:
            return self.broken([self.text(node.argument, wants=False)], node.problem)
        if node.name in self.CALLED_OPERATORS:
            return self.called_operator(node)
        operator = OPERATORS[node.name]
        argument = self.text(node.argument, wants=wants and operator.keeps)
        apply, suffix = operator.apply, node.suffix
        tainted = argument.tainted and operator.keeps
        if tainted and wants:
            return strict(lambda text: like(apply(text, suffix), text), [argument], tainted=True)
        return strict(lambda text: apply(text, suffix), [argument], tainted=tainted)

    def item(self, node: tree.Item, *, wants: bool) -> Code[str]:
        if node.problem is not None:
            return self.broken([self.text(each, wants=False) for each in node.arguments], node.problem)
        if node.name not in STRICT:
            return self.called_item(node, wants=wants)
        item = STRICT[node.name]
        arguments = [self.text(each, wants=wants and item.keeps) for each in node.arguments]
        tainted = item.keeps and any(each.tainted for each in arguments)
        apply = item.apply
        if tainted and wants:
            return strict(lambda *texts: like(apply(*texts), *texts), arguments, tainted=True)
        return strict(apply, arguments, tainted=tainted)


def variable(name: str, *, wants: bool) -> Code[str]:
    if name in FIELDS:
        return pure(FIELDS[name], tainted=not name.startswith("tod_"))
    if name in TAINTED and wants:
        return pure(lambda env: Tainted(env.variables.get(name, "")), tainted=True)
    return pure(lambda env: env.variables.get(name, ""), tainted=may_be_tainted(name))


def number(which: int) -> Code[str]:
    return pure(lambda env: env.numbers[which] if which < len(env.numbers) else "", tainted=True)


def header(node: tree.Header) -> Code[str]:
    read = headers.FLAVOURS[node.flavour]
    return pure(lambda env: Tainted(read(env.headers, node.name)), tainted=True)


def _shown(node: tree.Node) -> str:
    if isinstance(node, tree.Header):
        return f"${node.flavour}_{node.name}:"
    if isinstance(node, tree.Number):
        return f"${node.number}"
    return f"${node.name}" if isinstance(node, tree.Variable) else ""


def watched(source: str, code: Code[str]) -> Code[str]:
    """The same, and it writes a Step into the Env."""

    def expanding(env: Env) -> Asking[str]:
        around = env.steps
        if around is None:
            return (yield from code.asking(env))
        step = Step(source)
        around.append(step)
        env.steps = step.steps
        try:
            value = yield from code.asking(env)
            step.result = value
        except Stop as stop:
            step.failure = stop.outcome.message
            raise
        finally:
            env.steps = around
        return value

    return asks(expanding, tainted=code.tainted)
