"""SPF as a host with an exim.conf tells of it: RFC 7208's verdict, in the words of Exim's library.

WHAT       `found(question, now)` answers SpfOf: it runs check_host, and makes $spf_smtp_comment,
           $spf_header_comment and $spf_received of what it says.
LIKE EXIM  the texts are those of libspf2, which Exim asks; what a client may hear is the host's own template, and never
           the explanation of the domain; a template that cannot be read, or is too long, becomes the library's own;
           a guessed record may ask in vain as often as it likes, for the domain has not written it
DIFFERS    where libspf2 judges in another way than the RFC: docs/differences.md
READ NEXT  spf.py
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from labkit.auth.spf import SpfResult, check_host, client_address
from labkit.auth.spf_evaluation import MOST_TERMS, MOST_VOID, Evaluation
from labkit.auth.spf_macros import IN_EXPLANATIONS, BadTerm, MacroString, parse_macro_string
from labkit.mail.asking import Asking
from labkit.mail.questions import SpfFound, SpfOf

LIBRARY_TEMPLATE = "Please%_see%_http://www.openspf.org/Why?id=%{S}&ip=%{C}&receiver=%{R}"
LONGEST_TEMPLATE = 255
TOLD = ("fail", "softfail", "neutral")  # the results for which there is something to tell the client

_ALONE = re.compile(r"(%%|%_|%-|%\{)|%")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_HEADERS = {
    "pass": "{domain} designates {client} as permitted sender",
    "fail": "{domain} does not designate {client} as permitted sender",
    "softfail": "transitioning {domain} does not designate {client} as permitted sender",
    "neutral": "{client} is neither permitted nor denied by {domain}",
    "none": "{domain} does not provide an SPF record",
    "temperror": "encountered temporary error during SPF processing of {domain}",
    "permerror": "error in processing during lookup of {domain}: {problem}",
}
_PROBLEMS = {  # the library's words; for the others it has no verdict, and the words are ours
    "two-records": "Multiple SPF or TXT records for domain.",
    "no-record": "Could not find a valid SPF record",
    "lookups": "Mechanisms used too many DNS lookups",
}


def found(question: SpfOf, now: float) -> Asking[SpfFound | None]:
    """The verdict and Exim's texts; None if the client's address is none."""
    try:
        ip_address(question.client)
    except ValueError:
        return None
    sender = question.sender or question.helo
    if "@" not in sender[1:]:
        sender = f"postmaster@{sender.removeprefix('@')}"
    result = yield from check_host(
        question.client,
        question.helo,
        sender,
        receiver=question.receiver,
        now=now,
        most_void=MOST_VOID if question.record is None else MOST_TERMS,
        record=question.record,
        explains=False,
    )
    comment = ""
    if result.result in TOLD:
        comment = yield from _smtp_comment(question, sender, result, now)
    domain = f"domain of {sender.rpartition('@')[2]}"
    problem = _PROBLEMS.get(result.problem, result.reason)
    words = _HEADERS[result.result].format(domain=domain, client=question.client, problem=problem)
    header = f"{question.receiver}: {words}"
    received = (
        f"Received-SPF: {result.result} ({header}) client-ip={question.client};"
        f" envelope-from={sender}; helo={question.helo};"
    )
    return SpfFound(result.result, _shown(comment), _shown(header), _shown(received))


def _smtp_comment(question: SpfOf, sender: str, result: SpfResult, now: float) -> Asking[str]:
    """The template expanded, and whether a term decided or the record's end."""
    local_part, _, domain = sender.rpartition("@")
    run = Evaluation(
        client_address(question.client),
        question.helo,
        local_part,
        domain,
        question.receiver,
        now,
        domain=domain,
    )
    try:
        text = yield from run.explanation(_template(question.template))
    except BadTerm:  # a sender or HELO name outside ASCII
        text = ""
    return f"{text} : Reason: {'mechanism' if result.matched else 'default'}"


def _template(text: str) -> MacroString:
    """A "%" that stands alone is a sign like others, and a blank becomes one; so it is in the library."""
    if len(text) <= LONGEST_TEMPLATE:
        text = _ALONE.sub(lambda found: found[1] or "%%", text).replace(" ", "%%")
        try:
            return parse_macro_string(text, IN_EXPLANATIONS)
        except BadTerm:
            pass
    return parse_macro_string(LIBRARY_TEMPLATE, IN_EXPLANATIONS)


def _shown(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)
