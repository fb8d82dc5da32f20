"""A host for the tests of routing: its DNS, files and accounts, all in mappings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.eximconf.configuration import read
from labkit.eximconf.expansion import Env
from labkit.eximconf.expansion.files import find_line
from labkit.eximconf.here import Here
from labkit.mail.asking import Asking, Question, answer_by
from labkit.mail.lookups import DnsRecords, Exists, FileLine, FileText, FolderEntry, Unanswered, Unopened
from labkit.mail.questions import (
    Account,
    AccountNamed,
    AddressesOf,
    CallOut,
    CalloutAnswer,
    DnsAnswer,
    DnsOutcome,
    MxOf,
    MxRecord,
    OwnAddresses,
    Standing,
)
from labkit.routing import Mode, Routed, Routers, compile_routers

OWN = "203.0.113.1"
MAIN = """\
primary_hostname = mx.here.test
qualify_domain = here.test
domainlist here = here.test
"""
TRANSPORTS = """\
begin transports
smtp:
  driver = smtp
box:
  driver = appendfile
  file = /dev/null
other:
  driver = appendfile
  file = /dev/null
program:
  driver = pipe
"""
MX: Mapping[str, tuple[tuple[int, str], ...]] = {
    "b.test": ((10, "mx.b.test"), (20, "mx.c.test")),
    "me.test": ((10, "mx.here.test"), (20, "mx.b.test")),
    "second.test": ((10, "mx.b.test"), (20, "mx.here.test")),
    "null.test": ((0, ""),),
    "gone.test": ((10, "nowhere.test"),),
    "wide.b.test": ((10, "mx.b.test"),),
    "signed.test": ((10, "mx.signed.test"), (20, "mx.b.test")),
}
A = {
    "mx.b.test": "203.0.113.9",
    "mx.signed.test": "203.0.113.12",
    "mx.c.test": "203.0.113.10",
    "mx.here.test": OWN,
    "a.test": "203.0.113.20",
    "mea.test": OWN,
    "half.test": "203.0.113.30",
}
FAILING = ("fail.test",)
ONLY_ADDRESSES = ("half.test",)  # of these, MX and SRV records cannot be looked up


@dataclass
class Host:
    """Answers questions, and remembers them."""

    files: dict[str, str] = field(default_factory=dict)
    accounts: tuple[str, ...] = ("ann", "bob", "carol")
    refused: dict[str, str] = field(default_factory=dict)  # path -> why it cannot be read
    callout: CalloutAnswer = field(default_factory=lambda: CalloutAnswer(Standing.GOOD))
    services: dict[str, tuple[str, ...]] = field(default_factory=dict)
    asked: list[Question[Any]] = field(default_factory=list)

    def answer(self, question: Question[Any]) -> Any:
        self.asked.append(question)
        if isinstance(question, OwnAddresses):
            return (OWN,)
        if isinstance(question, MxOf) and question.domain in ONLY_ADDRESSES:
            return DnsAnswer(DnsOutcome.SERVFAIL)
        if isinstance(question, MxOf):
            return self._dns(question.domain, [MxRecord(*each) for each in MX.get(question.domain, ())])
        if isinstance(question, AddressesOf):
            return self._dns(question.host, [A[question.host]] if question.host in A else [])
        if isinstance(question, AccountNamed):
            return (
                Account(question.name, f"/home/{question.name}") if question.name in self.accounts else None
            )
        if isinstance(question, CallOut):
            return self.callout
        if isinstance(question, DnsRecords):
            failed = question.name.endswith(FAILING + ONLY_ADDRESSES)
            return Unanswered("SERVFAIL") if failed else self.services.get(question.name)
        return self._file(question)

    def _dns(self, name: str, records: list[Any]) -> DnsAnswer[Any]:
        if name in FAILING:
            return DnsAnswer(DnsOutcome.SERVFAIL)
        if name not in MX and name not in A:
            return DnsAnswer(DnsOutcome.NXDOMAIN)
        is_secure = name.endswith("signed.test")
        outcome = DnsOutcome.FOUND if records else DnsOutcome.NODATA
        return DnsAnswer(outcome, tuple(records), is_secure=is_secure)

    def _file(self, question: Question[Any]) -> Any:
        if isinstance(question, FileText):
            return self._text(question.path)
        if isinstance(question, FileLine):
            text = self._text(question.file)
            return find_line(text, question.key) if isinstance(text, str) else text
        if isinstance(question, FolderEntry):
            return f"{question.folder}/{question.name}" in self.files
        assert isinstance(question, Exists), question
        if question.path in self.refused:
            return Unopened(self.refused[question.path], is_missing=False)
        path = question.path.removesuffix("/.")
        return any(file == path or file.startswith(path + "/") for file in self.files)

    def _text(self, path: str) -> str | Unopened:
        if path in self.refused:
            return Unopened(self.refused[path], is_missing=False)
        if path in self.files:
            return self.files[path]
        return Unopened("No such file or directory")

    def drive(self, asking: Asking[Any]) -> Any:
        return answer_by(self.answer, asking)


def compiled(routers: str, main: str = "", transports: str = TRANSPORTS) -> Routers:
    return compile_routers(read(f"{MAIN}{main}begin routers\n{routers}{transports}"))


def env(sender: str = "ann@b.test", **variables: str) -> Env:
    given = {"primary_hostname": "mx.here.test", "qualify_domain": "here.test", "sender_address": sender}
    return Env({**given, **variables}, Here("mx.here.test", (OWN,)))


def bt(routers: str, address: str, host: Host | None = None, mode: Mode = Mode.TEST, **more: Any) -> str:
    """What exim -bt prints, in one line: its lines with a bar between them."""
    host = host or Host()
    tester = compiled(routers).tester(env(**more), mode)
    host.drive(tester.test(address))
    return f"{tester.status} " + " | ".join(line.strip() for line in tester.lines)


def routed(routers: str, address: str, host: Host | None = None, **more: Any) -> Routed:
    """As for delivery."""
    found = (host or Host()).drive(compiled(routers).route(address, env(), **more))
    assert isinstance(found, Routed)
    return found
