"""A stage for access control lists: a client, a sender, a recipient, and answers out of a dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from labkit.eximconf.expansion import Env
from labkit.eximconf.here import Here
from labkit.eximconf.lists import ListKind, compile_list
from labkit.eximconf.place import Place
from labkit.mail.address import Mailbox
from labkit.mail.asking import Question, answer_by
from labkit.mail.lookups import DnsRecords
from labkit.mail.questions import SpfFound, SpfOf, Standing, Verification, VerifyRecipient, VerifySender
from labkit.smtp.acl import Acls, AclVerdict, Phase, Scene
from labkit.smtp.acl.reading import statements_of

PLACE = Place("exim.conf", 1)
HERE = Here("mx.here.test", ("203.0.113.1",))
UNROUTEABLE = Verification(Standing.BAD, "Unrouteable address", "Unrouteable address", "route")
VERIFICATIONS = {
    "gone": UNROUTEABLE,
    "later": Verification(Standing.UNDECIDED, reason="host lookup did not complete", failure="route"),
    "said": Verification(Standing.BAD, "550 5.1.6 moved\n see below", "moved", "route"),
    "busy": Verification(Standing.UNDECIDED, "try again", "4xx from the next host", "recipient"),
    "mute": Verification(Standing.BAD, "550 no bounces", "550 no bounces", "mail"),
    "headless": Verification(Standing.BAD, "550 no postmaster", "550 no postmaster", "postmaster"),
}


class Stage:
    """`said` runs an ACL and tells what the client hears; the scene stays, so a second run is the same connection."""

    def __init__(self) -> None:
        self.lists = {
            (ListKind.DOMAIN, "ours"): compile_list(ListKind.DOMAIN, "here.test : *.here.test", PLACE, {}),
            (ListKind.HOST, "near"): compile_list(ListKind.HOST, "203.0.113.77", PLACE, {}),
        }
        self.variables = {
            "sender_host_address": "203.0.113.9",
            "sender_helo_name": "client.test",
            "sender_address": "ann@a.test",
            "sender_address_local_part": "ann",
            "sender_address_domain": "a.test",
        }
        self.env = Env(variables=self.variables, here=HERE, named=self.lists)
        self.scene = Scene(Phase.RCPT, self.env)
        self.answers: dict[Question[Any], Any] = {}
        self.asked: list[Question[Any]] = []

    def answer(self, question: Question[Any]) -> Any:
        self.asked.append(question)
        if question in self.answers:
            return self.answers[question]
        if isinstance(question, VerifyRecipient):
            return VERIFICATIONS.get(question.recipient.local_part, self.good(question.recipient))
        if isinstance(question, VerifySender):
            return VERIFICATIONS.get(question.sender.local_part, self.good(question.sender))
        if isinstance(question, DnsRecords):
            return None
        if isinstance(question, SpfOf):
            return SpfFound("pass", "", "it may", "Received-SPF: pass (it may)")
        raise AssertionError(f"nobody knows {question}")

    def good(self, address: Mailbox) -> Verification:
        return Verification(Standing.GOOD, address_data=f"data of {address.local_part}")

    def acls(self, text: str, others: Mapping[str, str] | None = None) -> Acls:
        written = {"x": text, **(others or {})}
        return Acls({name: statements_of(each, PLACE) for name, each in written.items()}, self.lists)

    def run(
        self,
        text: str,
        *,
        phase: Phase = Phase.RCPT,
        recipient: str = "bob@here.test",
        others: Mapping[str, str] | None = None,
    ) -> AclVerdict:
        acls, scene = self.acls(text, others), self.scene
        scene.phase, self.env.acl = phase, acls.hook(scene)
        scene.recipient = Mailbox.parse(recipient) if phase in (Phase.RCPT, Phase.VRFY) else None
        return answer_by(self.answer, acls.run("x", scene))

    def said(self, text: str, **how: Any) -> str:
        """The reply, lines joined by |; "accepted" if it has no words of its own."""
        answer = self.run(text, **how).reply
        return "accepted" if answer is None else "|".join(bytes(answer).decode("latin-1").splitlines())

    @property
    def logged(self) -> list[str]:
        """The lines for the log since one looked last."""
        lines = [line.text for line in self.scene.logged]
        self.scene.logged.clear()
        return lines


@pytest.fixture
def stage() -> Stage:
    return Stage()
