"""The real Exim as judge of the conditions spf and spf_guess, of their variables, and of the look-up spf.

HOW        as test_acl_dns_agrees.py: `exim -bh` with a nameserver of this test; our ACLs get the same zone. What an ACL
           sees is written into the log. Exim asks libspf2, which does not always judge as RFC 7208 does: DIFFERENT
           names these zones, and both verdicts are held (docs/differences.md, row `spf`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from labkit.auth import exim_spf
from labkit.auth.door import LookupTimedOut, NoSuchName, dns_answer
from labkit.eximconf.expansion import Env, Value, compile_text
from labkit.eximconf.here import Here
from labkit.eximconf.place import Place
from labkit.mail.address import Mailbox
from labkit.mail.asking import Question, answer_by
from labkit.mail.questions import SpfOf
from labkit.net.network import Peer
from labkit.smtp.acl import Acls, Phase, Scene
from labkit.smtp.acl.reading import statements_of
from labkit.smtp.acl.scene import SpfWishes

from .real_exim import IN_LAB, RealExim

PLACE = Place("exim.conf", 1)
CLIENT = "203.0.113.9"
GUESS = "v=spf1 a/24 mx/24 ptr ?all"
TEMPLATE = "Please%_see%_http://www.open-spf.org/Why"


def spf(record: str) -> dict[str, list[str]]:
    return {"TXT": [f'"{record}"']}


ZONE: dict[str, dict[str, list[str]]] = {
    "pass.test": spf("v=spf1 ip4:203.0.113.9 -all"),
    "fail.test": spf("v=spf1 ip4:203.0.113.1 -all"),
    "soft.test": spf("v=spf1 ~all"),
    "neutral.test": spf("v=spf1 ?all"),
    "default.test": spf("v=spf1 ip4:203.0.113.1"),
    "explained.test": spf("v=spf1 -all exp=why.explained.test"),
    "why.explained.test": {"TXT": ['"go away"']},
    "two.test": {"TXT": ['"v=spf1 -all"', '"v=spf1 mx -all"']},
    "none.test": {"A": ["203.0.113.77"], "AAAA": ["2001:db8::77"], "TXT": ['"something else"']},
    "far.test": {"A": ["198.51.100.1"], "MX": ["10 mx.far.test."]},
    "mx.far.test": {"A": ["203.0.113.200"]},
    "include.test": spf("v=spf1 include:pass.test -all"),
    "includes.test": spf("v=spf1 include:fail.test include:soft.test ~all"),
    "lost.test": spf("v=spf1 include:none.test -all"),
    "redirect.test": spf("v=spf1 redirect=fail.test"),
    "slow.test": spf("v=spf1 include:broken.test -all"),
    "slower.test": spf("v=spf1 a:x.broken.test -all"),
    "many.test": spf("v=spf1 " + "a:none.test " * 11 + "-all"),
    "ptr.test": spf("v=spf1 ptr:client.test -all"),
    "macro.test": spf("v=spf1 exists:%{l}.%{ir}.%{v}.%{d} -all"),
    "ann.9.113.0.203.in-addr.macro.test": {"A": ["127.0.0.2"]},
    "9.113.0.203.in-addr.arpa": {"PTR": ["mx.client.test."]},
    "mx.client.test": {"A": ["203.0.113.9"]},
    "helo.test": spf("v=spf1 ip4:203.0.113.9 ip6:2001:db8::9 -all"),
    # the library and the RFC disagree
    "perm.test": spf("v=spf1 moo -all"),
    "digits.test": spf("v=spf1 exists:%{l1r-}.test -all"),
    "ann.test": {"A": ["127.0.0.2"]},
    "zero.test": spf("v=spf1 ip4:203.0.113.9/0 -all"),
    "dotless.test": spf("v=spf1 a:dotless -all"),
    "colon.test": spf("v=spf1 redirect:pass.test"),
    "tree.test": spf("v=spf1 a:far.test include:branch.test a:far.test ~all"),
    "branch.test": spf("v=spf1 " + "a:far.test " * 9 + "?all"),
    "void.test": spf("v=spf1 a:n1.test a:n2.test a:n3.test ?all"),
}
BROKEN = "broken.test"
DIFFERENT = {  # sender -> Exim's verdict, labkit's
    "ann@perm.test": ("(invalid)", "permerror"),  # §4.6: an error of syntax is a permerror
    "ann@broken.test": ("(invalid)", "temperror"),  # §4.4: no answer is a temperror
    "ann@digits.test": ("fail", "pass"),  # §7.3: %{l1r-} of ann is ann, not nn
    "ann@zero.test": ("(invalid)", "pass"),  # §5.6: a prefix length of 0
    "ann@dotless.test": ("fail", "permerror"),  # §7.1: a domain-spec has a dot
    "ann@colon.test": ("pass", "permerror"),  # §4.6.1: no mechanism is called redirect
    "ann@tree.test": ("softfail", "permerror"),  # §4.6.4: the terms of included records count
    "ann@void.test": ("neutral", "permerror"),  # §4.6.4: two void look-ups
}
SENDERS = [
    "",
    '"a b"@fail.test',
    "ann@FAIL.test",
    "ann-lee@macro.test",
    *(
        f"ann@{name}.test"
        for name in "pass fail soft neutral default explained two none far include includes lost".split()
    ),
    *(f"ann@{name}.test" for name in "redirect slow slower many ptr macro nx".split()),
]
SHOWN = "<$spf_result> <$spf_result_guessed> <$spf_smtp_comment> <$spf_header_comment> <$spf_received>"
CONFIGURATION = (
    IN_LAB
    + """\
acl_smtp_rcpt = rcpt
OPTIONS
begin acl
rcpt:
BODY
begin routers
"""
)


def nameserver(query: bytes, client: Peer) -> bytes:
    response = dns.message.make_response(dns.message.from_wire(query))
    response.flags |= dns.flags.AA | dns.flags.RA
    (question,) = response.question
    name = question.name.to_text(omit_final_dot=True).lower()
    if name.endswith(BROKEN):
        response.set_rcode(dns.rcode.SERVFAIL)
    elif name not in ZONE:
        response.set_rcode(dns.rcode.NXDOMAIN)
    elif records := ZONE[name].get(dns.rdatatype.to_text(question.rdtype)):
        response.answer.append(dns.rrset.from_text(question.name, 60, "IN", question.rdtype, *records))
    return response.to_wire(want_shuffle=False)


def lookup(name: str, rdtype: str) -> list[str]:
    if name.endswith(BROKEN):
        raise LookupTimedOut(name)
    if name not in ZONE:
        raise NoSuchName(name)
    return [record.strip('"').removesuffix(".") for record in ZONE[name].get(rdtype, [])]


def answer(question: Question[Any]) -> Any:
    if isinstance(question, SpfOf):
        return answer_by(answer, exim_spf.found(question, 0))
    return dns_answer(lookup, question)


class Both:
    """The same ACL for RCPT on both sides; what it writes into the log for each sender."""

    def __init__(self, real: RealExim, inside: dict[str, str]) -> None:
        self.real, self.inside = real, inside

    def theirs(
        self, body: str, senders: list[str], helo: str = "helo.test", client: str = CLIENT, **options: str
    ) -> list[str]:
        file = self._write(body, options)
        commands = [f"HELO {helo}"]
        for sender in senders:
            commands += ["RSET", f"MAIL FROM:<{sender}>", "RCPT TO:<bob@here.test>"]
        done = self.real.run(
            "-C",
            file,
            "-bh",
            client,
            stdin="".join(f"{each}\r\n" for each in (*commands, "QUIT")),
            environment=self.inside,
        )
        return [line.removeprefix("LOG: ") for line in done.stderr.splitlines() if line.startswith("LOG: ")]

    def expanded(self, texts: list[str]) -> list[str]:
        done = self.real.run("-C", self._write("accept", {}), "-be", *texts, environment=self.inside)
        return done.stdout.splitlines()

    def _write(self, body: str, options: dict[str, str]) -> Path:
        text = self.real.configured(CONFIGURATION).replace("BODY", body)
        settings = "".join(f"{name} = {value}\n" for name, value in options.items())
        file = self.real.folder / "exim.conf"
        file.write_text(text.replace("OPTIONS\n", settings))
        return file


def ours(
    body: str,
    senders: list[str],
    helo: str = "helo.test",
    client: str = CLIENT,
    spf_guess: str = GUESS,
    spf_smtp_comment_template: str = TEMPLATE,
) -> list[str]:
    acls = Acls({"rcpt": statements_of(body, PLACE)}, {})
    values = {"sender_host_address": client, "sender_helo_name": helo, "spf_result_guessed": "no"}
    values["primary_hostname"] = "mx.here.test"
    env = Env(variables=values, here=Here("mx.here.test", ("203.0.113.1",)))
    scene = Scene(Phase.RCPT, env, spf=SpfWishes(spf_guess, compile_text(spf_smtp_comment_template, PLACE)))
    env.acl = acls.hook(scene)
    logged: list[str] = []
    for sender in senders:
        scene.begin_message()
        scene.recipient = Mailbox("bob", "here.test")
        env.variables |= {"sender_address": sender, "sender_address_domain": sender.rpartition("@")[2]}
        answer_by(answer, acls.run("rcpt", scene))
        logged += [line.text for line in scene.logged]
        scene.logged.clear()
    return logged


@pytest.fixture(scope="module")
def both(real_exim: RealExim, shim: Path) -> Iterator[Both]:
    with real_exim.in_lab(shim, nameserver) as inside:
        yield Both(real_exim, inside)


@pytest.mark.parametrize("client", [CLIENT, "203.0.113.10", "2001:db8::9"])
def test_variables(both: Both, client: str) -> None:
    body = f"warn spf = fail\n logwrite = it fails\nwarn logwrite = {SHOWN}\naccept"
    assert ours(body, SENDERS, client=client) == both.theirs(body, SENDERS, client=client)


@pytest.mark.parametrize("helo", ["helo.test", "[203.0.113.9]", "oem", "fail.test", "HELO.test"])
def test_helo(both: Both, helo: str) -> None:
    body = f"warn spf = none\n logwrite = none\nwarn logwrite = {SHOWN}\naccept"
    senders = ["", "ann@fail.test"]
    assert ours(body, senders, helo) == both.theirs(body, senders, helo)


@pytest.mark.parametrize(
    "wanted",
    [
        *(
            "fail",
            "!fail",
            "pass:softfail : fail",
            "<; pass;fail",
            "FAIL",
            "fail pass",
            "permerror",
            "!pass",
            "none",
            ":",
        ),
        *(
            "$sender_helo_name",
            "${if eq{a}{b}{x}fail}",
            "invalid",
            "temperror : permerror : ! fail",
            "pass : !fail",
        ),
    ],
)
@pytest.mark.parametrize("condition", ["spf", "spf_guess"])
def test_lists(both: Both, condition: str, wanted: str) -> None:
    body = f"warn {condition} = {wanted}\n logwrite = holds\nwarn !{condition} = {wanted}\n logwrite = turned\naccept"
    senders = ["ann@pass.test", "ann@fail.test", "ann@none.test"]
    assert ours(body, senders) == both.theirs(body, senders)


@pytest.mark.parametrize(
    "record", [GUESS, "v=spf1 ip4:203.0.113.9 -all", "v=spf1 -all", "v=spf1 redirect=pass.test"]
)
def test_guessing(both: Both, record: str) -> None:
    """It stays known that something was guessed, until the message is over."""
    shown = f"warn logwrite = {SHOWN}\n"
    body = f"warn spf_guess = pass\n logwrite = passes\n{shown}warn spf = pass\n{shown}accept"
    assert ours(body, SENDERS, spf_guess=record) == both.theirs(body, SENDERS, spf_guess=record)


@pytest.mark.parametrize(
    "template",
    [
        "",
        "Hello%_$sender_host_address:%{s}:%{S}:%{d}:%{i}:%{c}:%{r}:%{h}:%{p}:%{v}",
        "<$sender_helo_name|$sender_address|$primary_hostname|${uc:a}>",
        *(
            "a b c",
            "a%%b",
            "a%-b",
            "x%",
            "a%x",
            "a%{",
            "%{d",
            "%{q}",
            "%{dr}",
            "x" * 255,
            "x" * 256,
            "x" * 700,
        ),
    ],
)
def test_templates(both: Both, template: str) -> None:
    body = "warn spf = pass\nwarn logwrite = <$spf_smtp_comment>\naccept"
    senders = ["ann@fail.test", "ann@pass.test", "bob@default.test"]
    settings = {"spf_smtp_comment_template": template}
    assert ours(body, senders, **settings) == both.theirs(body, senders, **settings)


LOOKUPS = [
    *("${lookup{pass.test}spf{203.0.113.9}}", "${lookup{ann@fail.test}spf{203.0.113.9}{<$value>}{no}}"),
    *("${lookup{}spf{203.0.113.9}{<$value>}{no}}", "${lookup{@pass.test}spf{203.0.113.9}{<$value>}{no}}"),
    *("${lookup{pass.test}spf{bad}{<$value>}{no}}", "${lookup{pass.test}spf{}{<$value>}{no}}"),
    *(
        "${lookup{none.test}spf{203.0.113.9}}",
        "${lookup{two.test}spf{203.0.113.9}}",
        "${lookup{nx.test}spf{203.0.113.9}}",
    ),
    *(
        "${lookup{slow.test}spf{203.0.113.9}}",
        "${lookup{fail.test}spf{2001:db8::1}}",
        "${lookup spf{pass.test}}",
    ),
    *("${lookup{fail.test}spf,ret=key{203.0.113.9}}", "${lookup{fail.test}partial-spf{203.0.113.9}}"),
    *("${lookup{fail.test}spf{127.0.0.1}}", "${lookup{a@fail.test}spf{203.0.113.9}{$value$spf_result}}"),
    *("${lookup{fail.test}spf{203.0.113.9}{${lookup{pass.test}spf{203.0.113.9}}}}", "$spf_result_guessed"),
]


def test_lookups(both: Both) -> None:
    found = []
    for text in LOOKUPS:
        env = Env(here=Here("mx.here.test", ("203.0.113.1",)), variables={"spf_result_guessed": "no"})
        outcome = answer_by(answer, compile_text(text, PLACE).asking(env))
        found.append(outcome.text if isinstance(outcome, Value) else f"Failed: {outcome.message}")
    assert found == both.expanded(LOOKUPS)


def test_where_the_library_and_the_rfc_differ(both: Both) -> None:
    body = "warn spf = pass\nwarn logwrite = $spf_result\naccept"
    senders = list(DIFFERENT)
    assert both.theirs(body, senders) == [theirs for theirs, _ in DIFFERENT.values()]
    assert ours(body, senders) == [own for _, own in DIFFERENT.values()]


def test_misplaced(both: Both) -> None:
    body = "warn spf = pass\naccept"
    for option, phase in (("acl_smtp_helo", Phase.HELO), ("acl_smtp_connect", Phase.CONNECT)):
        acls = Acls({"rcpt": statements_of(body, PLACE)}, {})
        verdict = answer_by(answer, acls.run("rcpt", Scene(phase, Env())))
        assert not verdict.is_accepted
        assert any(verdict.log_text in line for line in both.theirs(body, [], **{option: "rcpt"}))
        assert verdict.log_text == f"cannot test spf condition in {phase.called} ACL"
