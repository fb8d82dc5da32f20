"""A lab world as one file that an instructor writes: hosts, zones, configurations, accounts, faults, agenda.

WHAT       `read_scenario("backup_mx", {"st": 7})` gives the Scenario; the name of one of data/scenarios, or a path.
DECIDES    what is a mistake. All mistakes of a file are told at once, each with its line, its field and a remedy.
RULES      a text after | keeps its lines, so a mistake within a zone or an exim.conf has its line in this file.
READ NEXT  yaml_nodes.py (how it is read), scenario_fields.py (the table), scenario_checks.py (what must fit together)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from yaml.nodes import MappingNode, ScalarNode

from labkit.lab.authority import KINDS
from labkit.lab.data import data_path, fill_in
from labkit.lab.engine import ENGINES, OUTSIDE_ENGINES
from labkit.lab.faults import Fault, FaultError, read_fault
from labkit.lab.happening import ACTIONS, Happening, Letter, read_instant
from labkit.lab.scenario_checks import Draft, HostDraft, LaptopDraft, ZoneDraft, check
from labkit.lab.scenario_fields import names
from labkit.lab.scenario_outside import read_mta_sts, read_outside
from labkit.lab.scenario_values import Values, read_values
from labkit.lab.scenarios import HostPlan, LaptopPlan, Scenario, is_login
from labkit.lab.yaml_nodes import FileErrors, Problems, Reader, Text, compose, line_of, nearest
from labkit.mail.plainly import SaidPlainly

ROLES = ("student", "partner")
MOST_HOSTS = 250
MOST_LINES = 1_000  # of an agenda
_SPAN = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PATH = re.compile(r"(?:/[A-Za-z0-9_.@+-]+)+")
_KEPT = (
    "/etc/exim.conf",
    "/var/spool",
    "/var/log",
    "/run",
)  # which have fields of their own, or are the MTA's


class NoSuchScenario(SaidPlainly, LookupError):
    """A name that no scenario has; the text says which there are."""


def scenario_path(name: str | Path) -> Path:
    """The file of a scenario: of data/scenarios by its name, or any file by its path. Raises NoSuchScenario."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if path.is_file():
            return path
        raise NoSuchScenario(f"there is no file {path}")
    folder = data_path("scenarios")
    found = folder / f"{name}.yaml"
    if not found.is_file():
        known = sorted(each.stem for each in folder.glob("*.yaml"))
        near = nearest(str(name), known)
        hint = f"do you mean {near}?" if near else "give the path of a file, or one of these names"
        raise NoSuchScenario(f"there is no scenario {name}: {hint}\n  there are {', '.join(known)}")
    return found


def read_scenario(name: str | Path, parameters: Mapping[str, object] | None = None) -> Scenario:
    """Read a scenario. Raises NoSuchScenario, FileErrors, and ValueError for a parameter that cannot be."""
    path = scenario_path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise ValueError(f"{path}: {problem}\n  save the file as UTF-8") from None
    return scenario_of(text, path, parameters)


def scenario_of(text: str, path: Path, parameters: Mapping[str, object] | None = None) -> Scenario:
    """The scenario that a text is; `path` is for messages, and where templates are looked for first."""
    problems = Problems(path.name)
    root = compose(text, path.name, problems)
    draft = _Reading(root, path, problems, parameters or {}).draft()
    if draft is not None:
        check(draft, problems)
    problems.expect_none()
    assert draft is not None
    return draft.scenario(path.stem)


class _Reading:
    """One file while it is read."""

    def __init__(
        self, root: MappingNode, path: Path, problems: Problems, given: Mapping[str, object]
    ) -> None:
        self.path, self.problems, self.given = path, problems, given
        self.values = Values()
        self.top = Reader(root, "", problems, self._fill)

    def _fill(self, text: str) -> str:
        return self.values.fill(text)

    def draft(self) -> Draft | None:
        top = self.top
        top.done(names("scenario"))
        read_values(top, self.values, self.given)
        title = top.text("title", needed="write title: and what the world shows")
        about = top.block("about")
        st = self.values.known.get("st", "1")
        draft = Draft(self.values, title, about.text if about else "", int(st) if st.isdigit() else 1)
        sections = top.sections("hosts", "host", needed="write hosts: and below it - name: …")
        for number, section in enumerate(sections):
            if number == MOST_HOSTS:
                section.wrong("name", f"more than {MOST_HOSTS} hosts", "a lab has room for fewer")
                break
            draft.hosts.append(self._host(section, number))
        if not draft.hosts and top.has("hosts") and not self.problems.errors:
            top.wrong("hosts", "there is none", "write - name: … below hosts:")
        for number, section in enumerate(top.sections("laptops", "laptop")):
            draft.laptops.append(self._laptop(section, number))
        for section in top.sections("zones", "zone"):
            section.done(names("zone"))
            origin = (
                section.text("origin", needed="write origin: and the name of the zone").rstrip(".") or "."
            )
            text = section.block("text", needed="write text: | and below it the records")
            if text is not None:
                is_signed = section.yes("signed", default=False)
                draft.zones.append(ZoneDraft(origin.lower(), text, section, is_signed))
        for section in top.sections("faults", "fault"):
            section.done(names("fault"))
            if (fault := self._fault(section)) is not None:
                draft.faults.append((fault, section))
        for number, section in enumerate(top.sections("agenda", "agenda line")):
            if number == MOST_LINES:
                section.wrong("at", f"more than {MOST_LINES} lines", "do the rest in Python")
                break
            draft.agenda += [(line, section) for line in self._lines(section)]
        return draft

    # --- hosts and laptops --------------------------------------------------------------------

    def _host(self, section: Reader, number: int) -> HostDraft:
        section.done(names("host"))
        name = section.text("name", needed="write name: and a host name, such as mx.a.test").lower()
        section.where = f"host {name}" if name else section.where
        address = section.text("address", needed="write address: and an IPv4 address, such as 203.0.113.11")
        role = section.text("role", default=ROLES[number] if number < len(ROLES) else f"host {number + 1}")
        engine = section.text("engine")
        if engine and engine not in (*ENGINES, *OUTSIDE_ENGINES):
            may = ", ".join((*ENGINES, *OUTSIDE_ENGINES))
            section.wrong("engine", f"there is no engine {engine[:40]!r}", f"it is one of: {may}")
        accounts = section.texts("accounts")
        for account in accounts:
            if not is_login(account.text):
                problem = f"{account.text[:40]!r} cannot be an account"
                section.wrong("accounts", problem, "small letters, digits and _ only", account.line)
        configuration, template = self._configuration(section, name, engine)
        plan = HostPlan(
            role,
            name,
            address,
            tuple(each.text for each in accounts),
            configuration.text if configuration is not None else "",
            files=tuple(self._files(section)),
            engine=engine,
            domains=tuple(self._domains(section, engine)),
            queue_interval=self._interval(section),
            starts=section.yes("starts", default=True),
            outside=read_outside(section, engine),
            certified=self._certified(section, engine),
            mta_sts=read_mta_sts(section),
        )
        return HostDraft(plan, section, configuration, template)

    def _certified(self, section: Reader, engine: str) -> str:
        """What certificate the authority has given to a host with an exim.conf; "" for none."""
        kind = section.text("certified")
        if kind and engine in OUTSIDE_ENGINES:
            section.wrong("certified", "a host outside says certificate:", "take certified out")
        elif kind and kind not in KINDS:
            section.wrong("certified", f"{kind[:40]!r} cannot be", f"it is one of: {', '.join(KINDS)}")
        return kind

    def _configuration(self, section: Reader, name: str, engine: str) -> tuple[Text | None, str]:
        """The text of exim.conf with its first line, and the name of the template that it comes from."""
        node = section.node("configuration")
        own = dict(section.mapping("values"))
        if engine in OUTSIDE_ENGINES:
            for field in ("configuration", "values", "aliases", "queue_interval"):
                if section.has(field):
                    problem = "a host outside is nobody's Exim"
                    section.wrong(field, problem, f"take {field} out, or make it engine: labkit")
            return None, ""
        if node is None:
            section.missing(
                "configuration", "write configuration: | and its lines, or the name of a template"
            )
            return None, ""
        if not isinstance(node, ScalarNode) or node.style == "|":
            if own:
                section.wrong(
                    "values", "they are for a template", "put them into values: at the top of the file"
                )
            return section.block("configuration"), ""
        wanted = section.text("configuration")
        path = self._template(wanted)
        if path is None:
            there = ", ".join(self._templates())
            problem = f"there is no template {wanted[:40]!r}"
            section.wrong("configuration", problem, f"write its text after |, or one of: {there}")
            return None, ""
        values = {"host": name, "domain": name.partition(".")[2]}
        values |= {key: section.scalar(each, section.field(f"values, {key}")) for key, each in own.items()}
        text = fill_in(self.values.fill(path.read_text(encoding="utf-8")), values)
        if (left := self.values.unknown(text)) is not None:
            problem = f"the template {wanted} wants a value for {{{left[0]}}}"
            section.wrong("configuration", problem, f"write it below values: of this host, as {left[0]}: …")
            return None, ""
        return Text(text, section.line_of("configuration")), wanted

    def _template(self, name: str) -> Path | None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name):
            return None
        beside, shipped = self.path.parent / f"{name}.conf", data_path("scenarios") / name / "host.conf"
        return next((path for path in (beside, shipped) if path.is_file()), None)

    def _templates(self) -> Iterator[str]:
        yield from sorted(path.stem for path in self.path.parent.glob("*.conf"))
        yield from sorted(path.parent.name for path in data_path("scenarios").glob("*/host.conf"))

    def _files(self, section: Reader) -> Iterator[tuple[str, str]]:
        aliases = section.block("aliases")
        if aliases is not None:
            yield "/etc/aliases", aliases.text
        for written, node in section.mapping("files"):
            path, field = self.values.fill(written), section.field(f"files, {written}")
            if not _PATH.fullmatch(path) or ".." in path or path.startswith(_KEPT):
                problem = f"{path[:60]!r} cannot be a file of a scenario"
                self.problems.add(line_of(node), field, problem, "write a path such as /etc/virtual/a.test")
            elif path == "/etc/aliases" and aliases is not None:
                self.problems.add(
                    line_of(node), field, "it is there already", "take out aliases:, or this one"
                )
            elif (text := section.block_of(node, field)) is not None:
                yield path, text.text

    def _domains(self, section: Reader, engine: str) -> Iterator[str]:
        domains = section.texts("domains")
        if engine in OUTSIDE_ENGINES and not domains:
            section.missing("domains", "write domains: [far.test], those that it takes mail for")
        elif engine not in OUTSIDE_ENGINES and section.has("domains"):
            section.wrong("domains", "this host has an exim.conf", "domains: is for engine: outside")
        yield from (each.text.lower() for each in domains)

    def _interval(self, section: Reader) -> timedelta | None:
        text = section.text("queue_interval")
        if not text:
            return None
        if text == "never":
            return timedelta(0)
        found = _SPAN.fullmatch(text)
        span = timedelta(seconds=int(found[1]) * _UNITS[found[2]]) if found else timedelta(0)
        if not timedelta(0) < span <= timedelta(days=7):
            section.wrong("queue_interval", f"{text[:40]!r} is no such time", "write 15m, 1h, or never")
            return None
        return span

    def _laptop(self, section: Reader, number: int) -> LaptopDraft:
        section.done(names("laptop"))
        name = section.text("name", needed="write name: and a host name, such as laptop.a.test").lower()
        section.where = f"laptop {name}" if name else section.where
        plan = LaptopPlan(
            section.text("role", default=ROLES[number] if number < len(ROLES) else f"laptop {number + 1}"),
            name,
            section.text("address", needed="write address: and an IPv4 address, such as 198.51.100.11"),
            section.text("owner", needed="write owner: and a mail address, such as ann@a.test"),
            section.text("mail_host", needed="write mail_host: and the name of a host"),
        )
        return LaptopDraft(plan, section)

    # --- faults and agenda --------------------------------------------------------------------

    def _fault(self, section: Reader) -> Fault | None:
        place = section.text("place", needed="write place: and a host, or a name of the DNS")
        kind = section.text("fault", needed="write fault: and a kind, such as silent")
        details: dict[str, object] = {
            name: section.text(name) for name in ("at", "text") if section.has(name)
        }
        for name in ("code", "seconds", "after", "port"):
            if (number := section.number(name)) is not None:
                details[name] = number
        if not place or not kind:
            return None
        try:
            return read_fault(place.lower(), kind, details)
        except FaultError as error:
            field = "fault" if error.field == "kind" else error.field
            section.wrong(field, error.problem, error.remedy)
            return None

    def _lines(self, section: Reader) -> Iterator[Happening]:
        """What a line of the agenda says; nothing, if it is wrong."""
        section.done(("at", *ACTIONS))
        at = section.text("at", needed="write at: and a time, such as +2h or day 2 10:00")
        section.where = f"{section.where} ({at})" if at else section.where
        after: timedelta | None = None
        if at:
            try:
                after = read_instant(at)
            except ValueError as problem:
                section.wrong("at", f"{at[:40]!r} is no such time", str(problem))
        actions = [name for name in section.nodes if name in ACTIONS]  # in the order of the file
        if not actions:
            section.missing("what happens", f"write one of: {', '.join(ACTIONS)}")
        for action in actions:
            line = self._line(section, action, after or timedelta(0))
            if line is not None and after is not None:
                yield line

    def _line(self, section: Reader, action: str, after: timedelta) -> Happening | None:
        if action in ("fault", "send", "zone"):
            inner = self._inner(section, action)
            if inner is None:
                return None
            if action == "fault":
                inner.done(names("fault"))
                fault = self._fault(inner)
                return None if fault is None else Happening(after, action, fault.place, fault=fault)
            if action == "zone":
                inner.done(names("zone"))
                origin = (
                    inner.text("origin", needed="write origin: and the name of the zone").rstrip(".").lower()
                )
                text = inner.block("text", needed="write text: | and below it the records")
                if text is None or not origin:
                    return None
                return Happening(after, action, origin, text=text.text)
            inner.done(names("letter"))
            return self._letter(inner, after)
        place = section.text(action, needed=f"write {action}: and the name of a host").lower()
        return Happening(after, action, place) if place else None

    def _inner(self, section: Reader, action: str) -> Reader | None:
        node = section.node(action)
        if not isinstance(node, MappingNode):
            section.wrong(action, "a mapping is expected", "write name: value, one on a line, below it")
            return None
        return Reader(node, section.field(action), self.problems, self._fill)

    def _letter(self, inner: Reader, after: timedelta) -> Happening | None:
        sender = inner.text("from", needed="write from: and an address")
        by = inner.text("by", needed="write by: and a laptop, or a host").lower()
        to = tuple(each.text for each in inner.texts("to"))
        if not to:
            inner.missing("to", "write to: and an address, or [several, of them]")
        text = inner.block("text")
        if not (sender and by and to):
            return None
        letter = Letter(sender, to, by, inner.text("subject"), text.text if text else "")
        return Happening(after, "send", letter=letter)


__all__ = ["FileErrors", "NoSuchScenario", "read_scenario", "scenario_of", "scenario_path"]
