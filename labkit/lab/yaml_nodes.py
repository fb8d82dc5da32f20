"""Read a YAML file into nodes that know their lines: the safe part of YAML that people write by hand.

WHAT       `compose(text, file, problems)` gives the root node; `Reader` takes fields out of mappings, with their kinds.
           `Problems` collects all that is wrong: a reader is told everything at once.
DECIDES    what is refused: tags, anchors and aliases (write it out), several documents, a key twice, folded texts.
SAFE       nothing but text, lists and mappings is ever made of a file; size, depth and the number of nodes have limits.
STANDARDS  YAML 1.2 §7 (scalars as they are written), §8.1 (block scalars)
READ NEXT  scenario_file.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

import yaml
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from labkit.eximconf.place import ConfigurationError, Place
from labkit.mail.plainly import SaidPlainly

LARGEST = 1_000_000  # octets of a file
DEEPEST = 12
MOST_NODES = 30_000
MOST_PROBLEMS = 100


class FieldError(ConfigurationError):
    """What is wrong with one field: file and line, the field, the remedy."""

    def __init__(self, place: Place, field: str, problem: str, remedy: str) -> None:
        super().__init__(place, f"{field}: {problem}" if field else problem, remedy)
        self.field = field


class FileErrors(SaidPlainly, ValueError):
    """All that is wrong with a file, in the order of its lines."""

    def __init__(self, file: str, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(sorted(errors, key=lambda error: error.place.line))
        head = f"{file}: {len(self.errors)} mistake{'s' * (len(self.errors) != 1)}"
        super().__init__("\n".join([head, *map(str, self.errors)]))


class Problems:
    """What is wrong with a file, so far."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[FieldError] = []

    def add(self, line: int, field: str, problem: str, remedy: str) -> None:
        if len(self.errors) < MOST_PROBLEMS:
            self.errors.append(FieldError(Place(self.file, line), field, problem, remedy))

    def expect_none(self) -> None:
        """Raise FileErrors if there are any."""
        if self.errors:
            raise FileErrors(self.file, self.errors)


@dataclass(frozen=True, slots=True)
class Text:
    """A text of the file, and the line on which its first line stands."""

    text: str
    line: int


def line_of(node: Node) -> int:
    """The line where it begins, counted from 1."""
    return int(node.start_mark.line) + 1


def compose(text: str, file: str, problems: Problems) -> MappingNode:
    """The mapping that the file is. Raises FileErrors for what is no such file, or holds what it may not."""
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST:
        raise FileErrors(
            file, [FieldError(Place(file, 1), "", "the file is too large", "keep it below 1 MB")]
        )
    try:
        _check_events(text, problems)
        problems.expect_none()
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        words = " ".join(filter(None, (problem.context, problem.problem))) or "this is no YAML"
        line = int(mark.line) + 1 if mark is not None else 1
        raise FileErrors(file, [FieldError(Place(file, line), "", words, _yaml_remedy(words))]) from None
    except yaml.YAMLError as problem:  # an octet that may not be in a text
        words = str(problem).partition("\n")[0]
        raise FileErrors(file, [FieldError(Place(file, 1), "", words, "write plain UTF-8 text")]) from None
    if not isinstance(root, MappingNode):
        what = "the file is empty" if root is None else f"the file is {_what(root)}"
        raise FileErrors(file, [FieldError(Place(file, 1), "", what, "begin with: title: My scenario")])
    return root


def _yaml_remedy(words: str) -> str:
    if "\\t" in words or "tab" in words:
        return "indent with blanks, never with tabs"
    if "mapping values are not allowed" in words:
        return "put quotes around a text with a colon and a blank in it, or mend the indentation above"
    return "look at this line and the one above it: indentation, a colon after each name, quotes in pairs"


def _check_events(text: str, problems: Problems) -> None:
    depth = documents = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        line = int(event.start_mark.line) + 1  # type: ignore[union-attr]
        if isinstance(event, CollectionStartEvent):
            depth += 1
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST or count > MOST_NODES:
            what = "this is nested too deeply" if depth > DEEPEST else "there is too much in this file"
            problems.add(
                line, "", what, "a scenario has hosts, and hosts have fields: no more levels than that"
            )
            return
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                problems.add(
                    line, "", "a second document begins here", "take out the line ---: one file, one world"
                )
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            problems.add(
                line, "", "anchors (&) and aliases (*) are not read", "write it out, or quote the text"
            )
        elif isinstance(event, (ScalarEvent, CollectionStartEvent)) and event.tag is not None:
            problems.add(
                line, "", f"the tag {event.tag[:40]} is not read", "take out the tag: texts need none"
            )


def _what(node: Node) -> str:
    if isinstance(node, MappingNode):
        return "a mapping (name: value)"
    return "a list" if isinstance(node, SequenceNode) else "a text"


class Reader:
    """One mapping of the file. Each method takes a field out; `done` complains of what nobody has asked for."""

    def __init__(self, node: MappingNode, where: str, problems: Problems, fill: Callable[[str], str]) -> None:
        self.line = line_of(node)
        self.where, self.problems, self.fill = where, problems, fill
        self.nodes: dict[str, tuple[ScalarNode, Node]] = {}
        self._known: list[str] = []
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                problems.add(
                    line_of(key), where, f"a name is expected, not {_what(key)}", "write name: value"
                )
            elif key.value in self.nodes:
                problems.add(line_of(key), self.field(key.value), "it is there twice", "take one of them out")
            else:
                self.nodes[key.value] = key, value

    def field(self, name: str) -> str:
        """The name of a field as messages have it."""
        return f"{self.where}, {name}" if self.where else name

    def line_of(self, name: str) -> int:
        """Where a field stands; where the mapping begins, if it does not."""
        return line_of(self.nodes[name][0]) if name in self.nodes else self.line

    def wrong(self, name: str, problem: str, remedy: str, line: int | None = None) -> None:
        self.problems.add(self.line_of(name) if line is None else line, self.field(name), problem, remedy)

    def has(self, name: str) -> bool:
        return name in self.nodes

    def node(self, name: str) -> Node | None:
        self._known.append(name)
        return self.nodes[name][1] if name in self.nodes else None

    def missing(self, name: str, remedy: str) -> None:
        self.problems.add(self.line, self.field(name), "it is missing", remedy)

    # --- kinds --------------------------------------------------------------------------------

    def text(self, name: str, *, needed: str = "", default: str = "") -> str:
        """A text of one line, with its values filled in. `needed`: the remedy if it is not there."""
        node = self.node(name)
        if node is None:
            if needed:
                self.missing(name, needed)
            return default
        return self.scalar(node, self.field(name)) or default

    def scalar(self, node: Node, field: str) -> str:
        if not isinstance(node, ScalarNode):
            self.problems.add(line_of(node), field, f"a text is expected, not {_what(node)}", _quoting(node))
            return ""
        text = self.fill(node.value)
        if "\n" in text.rstrip("\n"):
            self.problems.add(
                line_of(node), field, "one line is expected, not several", "write it on one line"
            )
            return ""
        return text.strip()

    def block(self, name: str, *, needed: str = "") -> Text | None:
        """A text of many lines: after `|`, each line as it stands."""
        node = self.node(name)
        if node is None:
            if needed:
                self.missing(name, needed)
            return None
        return self.block_of(node, self.field(name))

    def block_of(self, node: Node, field: str) -> Text | None:
        if not isinstance(node, ScalarNode):
            self.problems.add(line_of(node), field, f"a text is expected, not {_what(node)}", _quoting(node))
            return None
        if node.style == ">" or (node.style != "|" and node.end_mark.line > node.start_mark.line):
            self.problems.add(
                line_of(node), field, "the lines of this text would be joined", "write | after the colon"
            )
            return None
        return Text(self.fill(node.value), line_of(node) + (node.style == "|"))

    def number(self, name: str) -> float | int | None:
        text = self.text(name)
        if not text:
            return None
        try:
            found = int(text) if text.lstrip("+-").isdigit() and len(text) < 12 else float(text[:20])
            if not isfinite(found):
                raise ValueError(text)
            return found
        except ValueError:
            self.wrong(name, f"a number is expected, not {text[:40]!r}", f"write it like {name}: 30")
            return None

    def yes(self, name: str, default: bool) -> bool:
        text = self.text(name)
        if text and text not in ("yes", "no", "true", "false"):
            self.wrong(name, f"yes or no is expected, not {text[:40]!r}", f"write {name}: yes")
        return default if not text else text in ("yes", "true")

    def texts(self, name: str) -> list[Text]:
        """A list of texts, or one."""
        node = self.node(name)
        if node is None:
            return []
        items = node.value if isinstance(node, SequenceNode) else [node]
        found = [Text(self.scalar(each, self.field(name)), line_of(each)) for each in items]
        return [each for each in found if each.text]

    def mapping(self, name: str) -> Iterator[tuple[str, Node]]:
        """The names and nodes of a field that is a mapping."""
        node = self.node(name)
        if node is None:
            return
        if not isinstance(node, MappingNode):
            self.wrong(name, f"a mapping is expected, not {_what(node)}", f"write name: value below {name}:")
            return
        inner = Reader(node, self.field(name), self.problems, self.fill)
        for key, (_, value) in inner.nodes.items():
            yield key, value

    def sections(self, name: str, one: str, *, needed: str = "") -> Iterator[Reader]:
        """The mappings of a list: hosts, zones …"""
        node = self.node(name)
        if node is None:
            if needed:
                self.missing(name, needed)
            return
        if not isinstance(node, SequenceNode):
            self.wrong(
                name, f"a list is expected, not {_what(node)}", f"begin each {one} with a dash: - name: …"
            )
            return
        for number, each in enumerate(node.value, start=1):
            where = f"{one} {number}"
            if isinstance(each, MappingNode):
                yield Reader(each, where, self.problems, self.fill)
            else:
                words = f"a mapping is expected, not {_what(each)}"
                self.problems.add(line_of(each), where, words, "write name: value, one on a line")

    def done(self, may: Sequence[str]) -> None:
        """Complain of every field that is none of these."""
        for name, (key, _) in self.nodes.items():
            if name not in may:
                near = nearest(name, may)
                remedy = f"do you mean {near}?" if near else f"there are: {', '.join(may)}"
                self.problems.add(line_of(key), self.field(name), "there is no such field", remedy)


def nearest(name: str, known: Sequence[str]) -> str:
    """What somebody may have meant, "" if nothing is near."""
    from difflib import get_close_matches  # only for those who have made a mistake

    return next(iter(get_close_matches(name, known, 1, 0.7)), "")


def _quoting(node: Node) -> str:
    if isinstance(node, MappingNode) and node.flow_style:
        return 'put quotes around a text that begins with a brace: "{domain}"'
    return "write it on the line of the name, or after | on the lines below"
