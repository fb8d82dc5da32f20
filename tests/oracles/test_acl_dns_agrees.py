"""The real Exim as judge of the ACL conditions that ask the DNS: dnslists, verify = helo, verify = reverse_host_lookup.

HOW        `exim -bh ADDRESS` with the library that sends its DNS questions to a nameserver of this test; our ACLs get
           the same zone as answers. One process of Exim for each client address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from labkit.eximconf.expansion import Env
from labkit.eximconf.here import Here
from labkit.eximconf.place import Place
from labkit.mail.address import Mailbox
from labkit.mail.asking import Question, answer_by
from labkit.mail.lookups import DnsRecords, Unanswered
from labkit.mail.questions import AddressesOf, DnsAnswer, DnsOutcome, NamesOf
from labkit.net.network import Peer
from labkit.smtp.acl import Acls, Phase, Scene, rejected
from labkit.smtp.acl.reading import statements_of

from .real_exim import IN_LAB, PATIENCE, RealExim

PLACE = Place("exim.conf", 1)
CLIENT = "203.0.113.9"
REVERSED = "9.113.0.203"

# name -> records by type; a name that is not here does not exist
ZONE: dict[str, dict[str, list[str]]] = {
    f"{REVERSED}.bl.test": {"A": ["127.0.0.2"], "TXT": ['"it sent spam" "and more"', '"a second record"']},
    f"{REVERSED}.two.test": {"A": ["127.0.0.2", "127.0.0.4"]},
    f"{REVERSED}.lost.test": {"A": ["192.0.2.1"]},
    f"{REVERSED}.mixed.test": {"A": ["192.0.2.1", "127.0.0.9"], "TXT": ['"mixed"']},
    "a.test.bl.test": {"A": ["127.0.0.3"], "TXT": ['"a key"']},
    "1.2.0.192.bl.test": {"A": ["127.0.0.5"]},
    "nodata.test.bl.test": {"TXT": ['"no address"']},
    "9.113.0.203.in-addr.arpa": {"PTR": ["client.test.", "alias.test."]},
    "10.113.0.203.in-addr.arpa": {"PTR": ["liar.test."]},
    "12.113.0.203.in-addr.arpa": {"PTR": ["liar.test.", "second.test."]},
    "13.113.0.203.in-addr.arpa": {"PTR": ["broken.test."]},
    "client.test": {"A": ["203.0.113.9"]},
    "alias.test": {"A": ["203.0.113.9", "203.0.113.99"]},
    "forward.test": {"A": ["203.0.113.9"]},
    "liar.test": {"A": ["203.0.113.8"]},
    "second.test": {"A": ["203.0.113.12"]},
}
BROKEN = ("broken.test", "14.113.0.203.in-addr.arpa")  # the nameserver fails for these and all below them

DNSLISTS = """\
bl.test|other.test|other.test : bl.test|bl.test : other.test|broken.test|+include_unknown : broken.test
+exclude_unknown : broken.test|+defer_unknown : broken.test|broken.test : +defer_unknown : other.test
+defer_unknown : broken.test : bl.test|bl.test=127.0.0.2|bl.test=127.0.0.3|bl.test=127.0.0.3,127.0.0.2
bl.test!=127.0.0.2|bl.test!=127.0.0.3|two.test=127.0.0.4|two.test==127.0.0.2,127.0.0.4|two.test==127.0.0.2
two.test!==127.0.0.2|two.test!==127.0.0.2,127.0.0.4|two.test!=127.0.0.2|two.test!=127.0.0.7|two.test&0.0.0.4
two.test&0.0.0.6|two.test=&0.0.0.2|two.test=&0.0.0.0|two.test=&127.0.0.0|two.test!&0.0.0.8|two.test!&0.0.0.4
two.test!=&0.0.0.2|lost.test|lost.test=192.0.2.1|mixed.test|mixed.test&0.0.0.1|mixed.test==127.0.0.9|bl.test/a.test
bl.test/b.test|bl.test/$sender_address_domain|bl.test/b.test::a.test|bl.test/<;b.test;a.test|bl.test/192.0.2.1
bl.test/nodata.test|+defer_unknown : broken.test/c.test::b.test|+defer_unknown : broken.test/c.test : bl.test/a.test
bl.test=127.0.0.3/a.test|bl.test=127.0.0.2/a.test|bl.test,two.test=127.0.0.4|other.test,bl.test|two.test,bl.test
+nosuch : bl.test|bl test|bl.test/|/a.test|bl.test=|bl.test& |bl.test==127.0.0.2|bl.test!|b_l.test|:bl.test
bl.test/a.test/b.test|bl.test=127.0.0.2 : two.test""".replace("\n", "|").split("|")
MESSAGE = "$dnslist_domain,$dnslist_matched,$dnslist_value,$dnslist_text."
HELOS = (
    "client.test",
    "CLIENT.TEST",
    "alias.test",
    "forward.test",
    "liar.test",
    "nx.test",
    f"[{CLIENT}]",
    "[203.0.113.8]",
)
CLIENTS = {
    "203.0.113.9": "its names lead back",
    "203.0.113.10": "a name that leads elsewhere",
    "203.0.113.11": "no name",
    "203.0.113.12": "the second name leads back",
    "203.0.113.13": "the name cannot be looked up",
    "203.0.113.14": "the address cannot be looked up",
}
CONFIGURATION = (
    IN_LAB
    + """\
acl_smtp_mail = mail
acl_smtp_rcpt = ${{lookup{{$acl_c_case}}lsearch{{{folder}/acls}}}}
acl_smtp_helo = helo
begin acl
mail:
  accept set acl_c_case = $sender_address_local_part
helo:
  warn !verify = helo
       logwrite = not verified
  accept
{acls}
begin routers
"""
)


def nameserver(query: bytes, client: Peer) -> bytes:
    """Answers from ZONE."""
    response = dns.message.make_response(dns.message.from_wire(query))
    response.flags |= dns.flags.AA | dns.flags.RA
    (question,) = response.question
    name = question.name.to_text(omit_final_dot=True).lower()
    if is_broken(name):
        response.set_rcode(dns.rcode.SERVFAIL)
    elif name not in ZONE:
        response.set_rcode(dns.rcode.NXDOMAIN)
    elif records := ZONE[name].get(dns.rdatatype.to_text(question.rdtype)):
        response.answer.append(dns.rrset.from_text(question.name, 60, "IN", question.rdtype, *records))
    return response.to_wire(want_shuffle=False)


def is_broken(name: str) -> bool:
    return name.endswith(BROKEN)


@dataclass
class Exim:
    real: RealExim
    inside: dict[str, str]  # the variables that put it into the lab

    def talk(
        self, acls: dict[str, str], commands: list[str], client: str = CLIENT
    ) -> tuple[list[str], list[str]]:
        text = "".join(f"{name}:\n{body}\n" for name, body in acls.items())
        self.real.write("acls", "".join(f"{name}: {name}\n" for name in acls))
        file = self.real.folder / "exim.conf"
        file.write_text(CONFIGURATION.format(**self.real.names, acls=text))
        stdin = "".join(f"{command}\r\n" for command in [*commands, "QUIT"])
        done = self.real.run(
            "-C", file, "-bh", client, stdin=stdin, environment=self.inside, timeout=2 * PATIENCE
        )
        said = [line for line in done.stdout.splitlines() if line and not line.startswith("****")]
        logged = [line.removeprefix("LOG: ") for line in done.stderr.splitlines() if line.startswith("LOG: ")]
        return said[1:-1], logged


@pytest.fixture(scope="module")
def exim(real_exim: RealExim, shim: Path) -> Iterator[Exim]:
    with real_exim.in_lab(shim, nameserver) as inside:
        yield Exim(real_exim, inside)


# --- our side ---------------------------------------------------------------------------------


def answer(question: Question[Any]) -> Any:
    if isinstance(question, AddressesOf):
        return found(question.host, "A")
    if isinstance(question, NamesOf):
        return found(f"{'.'.join(reversed(question.address.split('.')))}.in-addr.arpa", "PTR")
    assert isinstance(question, DnsRecords), question
    if is_broken(question.name):
        return Unanswered("server failure")
    records = ZONE.get(question.name, {}).get(question.type)
    return None if records is None else tuple([record.split('"')[1] for record in records])


def found(name: str, record_type: str) -> DnsAnswer[str]:
    lowered = name.lower()
    if is_broken(lowered):
        return DnsAnswer(DnsOutcome.SERVFAIL)
    if lowered not in ZONE:
        return DnsAnswer(DnsOutcome.NXDOMAIN)
    records = ZONE[lowered].get(record_type, [])
    return DnsAnswer(DnsOutcome.FOUND if records else DnsOutcome.NODATA, tuple(records))


class Talk:
    def __init__(self, acls: dict[str, str], client: str = CLIENT) -> None:
        self.acls = Acls({name: statements_of(text, PLACE) for name, text in acls.items()}, {})
        self.env = Env(variables={"sender_host_address": client}, here=Here("mx.here.test", ("203.0.113.1",)))
        self.scene = Scene(Phase.RCPT, self.env)
        self.env.acl = self.acls.hook(self.scene)
        self.logged: list[str] = []

    def rcpt(self, name: str) -> list[str]:
        """The reply to RCPT by this ACL, and what is logged."""
        self.scene.phase, self.scene.recipient = Phase.RCPT, Mailbox("bob", "here.test")
        self.scene.begin_message()
        self.env.variables |= {"sender_address": f"{name}@a.test", "sender_address_domain": "a.test"}
        verdict = answer_by(answer, self.acls.run(name, self.scene))
        self.logged += [line.text for line in self.scene.logged]
        self.scene.logged.clear()
        if not verdict.is_accepted:
            self.logged.append(rejected(verdict, self.scene, "<bob@here.test>"))
        return ["250 Accepted"] if verdict.reply is None else bytes(verdict.reply).decode().splitlines()

    def helo(self, name: str) -> bool:
        self.scene.phase = Phase.HELO
        self.env.variables["sender_helo_name"] = name
        verdict = answer_by(answer, self.acls.run("require verify = helo\naccept", self.scene))
        return verdict.is_accepted


def replies_of(lines: list[str]) -> list[list[str]]:
    replies: list[list[str]] = [[]]
    for line in lines:
        replies[-1].append(line)
        if line[3:4] == " ":
            replies.append([])
    return replies[:-1]


# --- the judgement ----------------------------------------------------------------------------


def test_dnslists(exim: Exim) -> None:
    """Each list, and its opposite; the variables, and what is logged."""
    acls = {}
    for number, items in enumerate(DNSLISTS):
        acls[f"c{number}"] = f"deny dnslists = {items}\n message = {MESSAGE}\naccept"
        acls[f"n{number}"] = f"deny !dnslists = {items}\naccept"
    commands = ["HELO x"]
    for name in acls:
        commands += ["RSET", f"MAIL FROM:<{name}@a.test>", "RCPT TO:<bob@here.test>"]
    said, logged = exim.talk(acls, commands)
    theirs = replies_of(said)[3::3]
    talk = Talk(acls)
    talk.env.variables["sender_helo_name"] = "x"
    ours = [talk.rcpt(name) for name in acls]
    shown = {acls[name].partition("\n")[0]: reply for name, reply in zip(acls, ours)}
    assert shown == {acls[name].partition("\n")[0]: reply for name, reply in zip(acls, theirs)}
    assert talk.logged == [line for line in logged if "verified" not in line and "host name" not in line]


@pytest.mark.parametrize("client", CLIENTS)
def test_who_the_client_is(exim: Exim, client: str) -> None:
    acls = {
        "first": "deny !verify = reverse_host_lookup\n message = unknown\naccept",
        "second": "deny !verify = reverse_host_lookup/defer_ok\naccept message = $sender_host_name.",
        "third": "deny message = $sender_host_name,$host_lookup_failed,$host_lookup_deferred",
    }
    commands = ["HELO x"]
    for name in acls:
        commands += ["RSET", f"MAIL FROM:<{name}@a.test>", "RCPT TO:<bob@here.test>"]
    said, logged = exim.talk(acls, commands, client)
    talk = Talk(acls, client)
    talk.env.variables["sender_fullhost"] = f"(x) [{client}]"  # made before the name was looked up
    talk.helo("x")
    ours = [talk.rcpt(name) for name in acls]
    assert ours == replies_of(said)[3::3], CLIENTS[client]
    assert talk.logged == [
        line for line in logged if not line.startswith(("not verified", "no host name", "no IP"))
    ]


def test_helo(exim: Exim) -> None:
    _, logged = exim.talk({}, [f"HELO {name}" for name in HELOS for _ in range(2)])
    assert logged.count("not verified") == 2 * sum(not Talk({}).helo(name) for name in HELOS)
    one_by_one = {}
    for name in HELOS:
        _, lines = exim.talk({}, [f"HELO {name}"])
        one_by_one[name] = "not verified" not in lines
    assert {name: Talk({}).helo(name) for name in HELOS} == one_by_one
