"""What must fit together in a scenario file: addresses, names, zones, configurations, who is named anywhere.

WHAT       a Draft is a file that was read, each piece with the place where it stands; `check` notes what is wrong;
           `Draft.scenario` is what a world begins with, with the root and the reverse zones.
DECIDES    two machines at one address or of one name; a host that no zone has; a zone or an exim.conf that cannot be
           read (the line within the file); a host, laptop or address that is named and is not there.
READ NEXT  happening.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dns.name
from dns.rdatatype import RdataType

from labkit.eximconf.configuration import reading
from labkit.eximconf.place import ConfigurationError
from labkit.lab.engine import OUTSIDE
from labkit.lab.faults import KINDS, Fault, fits
from labkit.lab.happening import Happening
from labkit.lab.outside_plans import MiddlePlan
from labkit.lab.scenario_values import Values
from labkit.lab.scenarios import (
    NAMESERVER,
    REVERSE_TOP,
    ROOT_ZONE,
    HostPlan,
    LaptopPlan,
    Scenario,
    is_domain,
    reverse_origin,
)
from labkit.lab.yaml_nodes import Problems, Reader, Text, nearest
from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.mail.asking import Question, answer_by
from labkit.mail.lookups import FileText, Unopened
from labkit.mta.compiled import compile_configuration
from labkit.net.dns_zones import ZoneError, Zones, read_zone
from labkit.net.translation import AddressTable, real_address

_LINE = re.compile(r"(?s)(?:[^:\n]*:(?P<line>\d+): )?(?P<words>.*)")


@dataclass(slots=True)
class HostDraft:
    """A host, and the text of its exim.conf (None: it has none) with its first line, or its template."""

    plan: HostPlan
    section: Reader
    configuration: Text | None
    template: str


@dataclass(slots=True)
class LaptopDraft:
    plan: LaptopPlan
    section: Reader


@dataclass(slots=True)
class ZoneDraft:
    origin: str
    text: Text
    section: Reader
    is_signed: bool = False


@dataclass(slots=True)
class Draft:
    """A file that was read."""

    values: Values
    title: str
    about: str
    student_number: int
    hosts: list[HostDraft] = field(default_factory=list)
    laptops: list[LaptopDraft] = field(default_factory=list)
    zones: list[ZoneDraft] = field(default_factory=list)
    faults: list[tuple[Fault, Reader]] = field(default_factory=list)
    agenda: list[tuple[Happening, Reader]] = field(default_factory=list)

    @property
    def machines(self) -> Iterator[HostDraft | LaptopDraft]:
        yield from self.hosts
        yield from self.laptops

    def scenario(self, name: str) -> Scenario:
        own = {zone.origin: zone.text.text for zone in self.zones}
        zones = {".": ROOT_ZONE, **own}
        for origin, text in _reverse_zones(self).items():
            zones.setdefault(origin, text)
        return Scenario(
            name=name,
            title=self.title,
            student_number=self.student_number,
            nameserver=NAMESERVER,
            hosts=tuple(host.plan for host in self.hosts),
            laptops=tuple(laptop.plan for laptop in self.laptops),
            zones=tuple(zones.items()),
            signed=tuple(zone.origin for zone in self.zones if zone.is_signed),
            faults=tuple(fault for fault, _ in self.faults),
            agenda=tuple(sorted((line for line, _ in self.agenda), key=lambda line: line.after)),
            about=self.about,
        )


def _reverse_zones(draft: Draft) -> dict[str, str]:
    pointers: dict[str, list[str]] = {}
    for machine in draft.machines:
        network, _, last = machine.plan.address.rpartition(".")
        pointers.setdefault(reverse_origin(network), []).append(f"{last} IN PTR {machine.plan.name}.")
    return {origin: REVERSE_TOP + "\n".join(lines) + "\n" for origin, lines in pointers.items()}


def check(draft: Draft, problems: Problems) -> None:
    """Note everything that does not fit."""
    _check_names(draft)
    _check_addresses(draft)
    zones, unread = _check_zones(draft, problems)
    _check_machines_in_zones(draft, zones, unread)
    _check_policies(draft, zones, unread)
    _check_poses(draft)
    for host in draft.hosts:
        if host.configuration is not None and host.plan.engine != "exim":
            _check_configuration(host, problems)
    _check_laptops(draft)
    _check_faults(draft)
    for line, section in draft.agenda:
        _check_line(draft, line, section, problems)


# --- machines ---------------------------------------------------------------------------------


def _check_names(draft: Draft) -> None:
    seen: dict[str, Reader] = {}
    roles: dict[tuple[type, str], Reader] = {}
    for machine in draft.machines:
        name, section, role = machine.plan.name, machine.section, (type(machine), machine.plan.role)
        if name and not is_domain(name):
            section.wrong("name", f"{name[:60]!r} is no host name", _name_remedy(draft, name))
        elif name and (other := seen.setdefault(name, section)) is not section:
            section.wrong("name", f"line {other.line_of('name')} has it already", "give it another name")
        if (other := roles.setdefault(role, section)) is not section:
            section.wrong("role", f"{other.where} has the role {role[1]} already", "give it another one")
    for host in draft.hosts:
        for domain in host.plan.domains:
            if not is_domain(domain):
                remedy = _name_remedy(draft, domain)
                host.section.wrong("domains", f"{domain[:60]!r} is no domain", remedy)


def _name_remedy(draft: Draft, name: str) -> str:
    left = draft.values.unknown(name) or draft.values.unknown(f" {name[name.find('{') :]}")
    return draft.values.remedy(left[0]) if left else "small letters, digits, - and dots: mx.a.test"


def _check_addresses(draft: Draft) -> None:
    seen: dict[str, str] = {NAMESERVER: "the nameserver"}
    table = AddressTable([NAMESERVER])
    for machine in draft.machines:
        address, section = machine.plan.address, machine.section
        if not address:
            continue
        try:
            real_address(address)
            if address in seen:
                problem = f"{address} is the address of {seen[address]} already"
                section.wrong("address", problem, "each machine has an address of its own")
                continue
            table.add(address)
            seen[address] = f"{section.where} (line {section.line_of('address')})"
        except ValueError as problem:
            left = draft.values.unknown(f" {address[address.find('{') :]}") if "{" in address else None
            remedy = draft.values.remedy(left[0]) if left else "write it like 203.0.113.11"
            section.wrong("address", str(problem), remedy)


# --- zones ------------------------------------------------------------------------------------


def _check_zones(draft: Draft, problems: Problems) -> tuple[Zones, list[str]]:
    """The zones that can be read, and the origins of those that cannot."""
    zones, unread = Zones(), list[str]()
    seen: dict[str, Reader] = {}
    for zone in draft.zones:
        if (other := seen.setdefault(zone.origin, zone.section)) is not zone.section:
            problem = f"line {other.line_of('origin')} has this zone already"
            zone.section.wrong("origin", problem, "one zone, one text: put the records together")
            continue
        if _is_zone(draft, zone.origin, zone.text, zone.section, problems):
            zones.put(read_zone(zone.text.text, zone.origin))
        else:
            unread.append(zone.origin)
    return zones, unread


def _is_zone(draft: Draft, origin: str, text: Text, section: Reader, problems: Problems) -> bool:
    """Whether the text of a zone can be read; what is wrong with it is noted."""
    where = section.field(f"text ({origin})")
    if (left := draft.values.unknown(text.text)) is not None:
        problem = f"{{{left[0]}}} stands for nothing"
        problems.add(text.line + left[1], where, problem, draft.values.remedy(left[0]))
        return False
    try:
        read_zone(text.text, origin, "zone")
    except ZoneError as error:
        found = _LINE.fullmatch(str(error).removeprefix("zone: "))
        assert found is not None
        words, _, remedy = found["words"].partition(". ")
        if found["line"] is None and "\n" in found["words"]:
            words, _, remedy = found["words"].partition(" Add:")
        line = text.line + int(found["line"]) - 1 if found["line"] else section.line_of("text")
        remedy = " ".join(f"add {remedy}".split()) if not found["line"] else remedy
        problems.add(line, where, words.rstrip("."), remedy or "mend this line: name IN type data")
        return False
    return True


def _check_machines_in_zones(draft: Draft, zones: Zones, unread: list[str]) -> None:
    for machine in draft.machines:
        name, address, section = machine.plan.name, machine.plan.address, machine.section
        if not is_domain(name) or any(name == each or name.endswith(f".{each}") for each in unread):
            continue
        owner = dns.name.from_text(name)
        zone = zones.find(owner)
        if zone is None:
            parent = name.partition(".")[2]
            section.wrong(
                "name", f"no zone has {name}", f"add a zone with origin: {parent}, and the host in it"
            )
            continue
        origin = zone.origin.to_text(omit_final_dot=True)
        there = [record.to_text() for found in zone.rrsets(owner, RdataType.A) for record in found]
        line = f"{name}. IN A {address}"
        if not there:
            section.wrong("name", f"the zone {origin} has no address for {name}", f"add to it: {line}")
        elif address not in there:
            problem = f"the zone {origin} says that {name} is at {', '.join(there)}"
            section.wrong("address", problem, f"write that here, or in the zone: {line}")


# --- configurations ---------------------------------------------------------------------------


def _check_configuration(host: HostDraft, problems: Problems) -> None:
    """Read the exim.conf as the host would."""
    text, files = host.configuration, dict(host.plan.files)
    assert text is not None

    def answer(question: Question[Any]) -> str | Unopened:
        assert isinstance(question, FileText), question
        path = question.path if question.path.startswith("/") else f"/etc/{question.path}"
        return files.get(path, Unopened("No such file or directory"))

    try:
        configuration = answer_by(answer, reading(text.text, "exim.conf"))
        # whether programs may be run is for whoever opens the world to say
        compile_configuration(configuration, host.plan.name, (host.plan.address,), runs_programs=True)
    except ConfigurationError as error:
        place, where = error.place, host.section.field("configuration")
        if host.template:
            where += f" (template {host.template}, line {place.line})"
            problems.add(text.line, where, error.problem, error.remedy)
        elif place.file != "exim.conf":
            problems.add(text.line, f"{where} ({place})", error.problem, error.remedy)
        else:
            problems.add(text.line + place.line - 1, where, error.problem, error.remedy)


def _check_policies(draft: Draft, zones: Zones, unread: list[str]) -> None:
    """A policy that names nobody itself names the mail exchangers of its domain: then there must be some."""
    for host in draft.hosts:
        plan, section = host.plan, host.section
        if plan.mta_sts is None or not is_domain(plan.name):
            continue
        domain = plan.policy_domain
        if any(domain == each or domain.endswith(f".{each}") for each in unread):
            continue
        zone = zones.find(dns.name.from_text(domain)) if is_domain(domain) else None
        if zone is None:
            section.wrong(
                "mta_sts", f"no zone has {domain}", "add the zone: the policy's records stand in it"
            )
        elif (
            not plan.mta_sts.mx
            and plan.mta_sts.mode != "none"
            and not any(True for _ in zone.rrsets(dns.name.from_text(domain), RdataType.MX))
        ):
            remedy = f"add to its zone: {domain}. IN MX 10 {plan.name}. (or write mx: into mta_sts)"
            section.wrong("mta_sts", f"{domain} has no MX record, so the policy names nobody", remedy)


# --- who is named -----------------------------------------------------------------------------


def _check_poses(draft: Draft) -> None:
    """Whom an impostor plays, and before whom somebody stands."""
    for host in draft.hosts:
        outside, own = host.plan.outside, host.plan.name
        if isinstance(outside, MiddlePlan) and host.section.has("stands_before"):
            plan = _expect_host(draft, outside.stands_before, "stands_before", host.section)
            if plan is not None and plan.name == own:
                host.section.wrong("stands_before", "it cannot stand before itself", "name the real server")


def _check_laptops(draft: Draft) -> None:
    for laptop in draft.laptops:
        plan, section = laptop.plan, laptop.section
        if plan.owner:
            _expect_address(plan.owner, "owner", section)
        if plan.mail_host:
            _expect_host(draft, plan.mail_host, "mail_host", section)


def _expect_address(text: str, name: str, section: Reader) -> None:
    try:
        Mailbox.parse(text)
    except AddressSyntaxError as problem:
        section.wrong(name, str(problem), "write it like ann@a.test")


def _expect_host(draft: Draft, name: str, where: str, section: Reader) -> HostPlan | None:
    known = [host.plan.name for host in draft.hosts]
    found = next((host.plan for host in draft.hosts if host.plan.name == name), None)
    if found is None:
        near = nearest(name, known)
        remedy = f"do you mean {near}?" if near else f"there are {', '.join(known) or 'no hosts'}"
        section.wrong(where, f"there is no host {name[:60]!r}", remedy)
    return found


def _check_faults(draft: Draft) -> None:
    for fault, section in draft.faults:
        _check_fault(draft, fault, section)


def _check_fault(draft: Draft, fault: Fault, section: Reader) -> None:
    if KINDS[fault.kind].is_of_name:
        if fault.place != "." and not re.fullmatch(r"[a-z0-9_.-]{1,253}", fault.place):
            section.wrong("place", f"{fault.place[:60]!r} is no name of the DNS", "write it like far.test")
        return
    plan = _expect_host(draft, fault.place, "place", section)
    if plan is not None and (why := fits(fault.kind, plan.engine or "labkit")):
        section.wrong("fault", f"{plan.name} runs the real Exim", why)


def _check_line(draft: Draft, line: Happening, section: Reader, problems: Problems) -> None:
    if line.action in ("down", "up", "queue run", "forced queue run"):
        plan = _expect_host(draft, line.place, line.action, section)
        if plan is not None and plan.engine == OUTSIDE and line.action.endswith("queue run"):
            section.wrong(line.action, f"{plan.name} is a host outside", "it has no queue to run")
    elif line.fault is not None:
        _check_fault(draft, line.fault, _inner(section, "fault"))
    elif line.action == "clear":
        places = {"all", *(host.plan.name for host in draft.hosts)}
        places |= {fault.place for fault, _ in draft.faults}
        places |= {each.fault.place for each, _ in draft.agenda if each.fault is not None}
        if line.place not in places:
            problem = f"nothing is ever broken at {line.place[:60]!r}"
            section.wrong("clear", problem, f"it is one of: {', '.join(sorted(places))}")
    elif line.letter is not None:
        letter, inner = line.letter, _inner(section, "send")
        for name, addresses in (("from", (letter.sender,)), ("to", letter.to)):
            for address in addresses:
                _expect_address(address, name, inner)
        if letter.by not in {machine.plan.name for machine in draft.machines}:
            known = [machine.plan.name for machine in draft.machines]
            remedy = f"there are {', '.join(known)}"
            inner.wrong("by", f"there is no laptop and no host {letter.by[:60]!r}", remedy)
    elif line.action == "zone":
        inner = _inner(section, "zone")
        text = inner.block("text")
        if text is not None:
            _is_zone(draft, line.place, text, inner, problems)


def _inner(section: Reader, name: str) -> Reader:
    """The mapping below a field, which is known to be one."""
    node: Any = section.nodes[name][1]
    return Reader(node, section.field(name), section.problems, section.fill)
