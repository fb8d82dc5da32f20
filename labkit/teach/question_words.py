"""Questions of decisions and their answers, in plain words.

WHAT       `question_words(TextOf("a.test"))` is "TXT records at a.test?"; `answer_words(question, answer)` says what
           was found; `kind_of(question, answer)` what sort of answer it is, so that one can be predicted.
RULES      what stands in records, files and databases is text of others: whoever shows it escapes it.
READ NEXT  views/stepper.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from labkit.mail.asking import Question
from labkit.mail.lookups import DnsRecords, Exists, FileLine, FileText, FolderEntry, Unanswered, Unopened
from labkit.mail.questions import (
    Account,
    AccountNamed,
    AddressesOf,
    DnsAnswer,
    DnsOutcome,
    MxOf,
    MxRecord,
    NamesOf,
    OwnAddresses,
    PageFetched,
    PolicyAt,
    TextOf,
    V6AddressesOf,
    VerifyRecipient,
    VerifySender,
)

MOST_RECORDS = 12
LONGEST_RECORD = 500
NO_RECORD = "the name is there, but has no record of this type"
NO_NAME = "there is no such name"
NO_ANSWER = "no answer, or a failure: it may be known later"
_DNS: Mapping[type, Callable[[Any], str]] = {
    TextOf: lambda q: f"TXT records at {q.name}?",
    MxOf: lambda q: f"MX records at {q.domain}?",
    AddressesOf: lambda q: f"A records (IPv4 addresses) at {q.host}?",
    V6AddressesOf: lambda q: f"AAAA records (IPv6 addresses) at {q.host}?",
    NamesOf: lambda q: f"PTR records of {q.address} (its names)?",
}
_OTHERS: Mapping[type, Callable[[Any], str]] = {
    DnsRecords: lambda q: f"{q.type.upper()} records at {q.name}?",
    AccountNamed: lambda q: f"Has this host an account {q.name}?",
    OwnAddresses: lambda q: "Which addresses has this host itself?",
    FileLine: lambda q: f"Which line has {q.file} for {q.key}?",
    FileText: lambda q: f"What stands in {q.path}?",
    FolderEntry: lambda q: f"Is there an entry {q.name} in {q.folder}?",
    Exists: lambda q: f"Is there a file {q.path}?",
    PolicyAt: lambda q: f"GET {q.url}?",
    VerifyRecipient: lambda q: f"Would this host know what to do with mail for {q.recipient}?",
    VerifySender: lambda q: f"Could a report be sent to {q.sender}?",
}
_FAILURES = {
    DnsOutcome.NODATA: NO_RECORD,
    DnsOutcome.NXDOMAIN: NO_NAME,
    DnsOutcome.SERVFAIL: "the nameserver failed (SERVFAIL)",
    DnsOutcome.TIMEOUT: "nobody answered",
}


def question_words(question: Question[Any]) -> str:
    """The question as one would ask it. A kind that is not known here is shown as it is written."""
    words = _DNS.get(type(question)) or _OTHERS.get(type(question))
    return repr(question) if words is None else words(question)


def answer_words(question: Question[Any], answer: Any) -> str:
    """What was found, in words; records are one a line."""
    if isinstance(answer, DnsAnswer):
        return _dns_words(answer)
    if isinstance(answer, (Unopened, Unanswered)):
        return answer.reason
    if isinstance(answer, PageFetched):
        return _page_words(answer)
    if isinstance(answer, Account):
        return f"yes, with the home directory {answer.home}"
    if answer is None:
        return "no" if isinstance(question, AccountNamed) else "there is none"
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    if isinstance(answer, tuple):
        return _listed(answer)
    return _short(str(answer)) or "nothing: it is empty"


def _dns_words(answer: DnsAnswer[Any]) -> str:
    if answer.outcome is not DnsOutcome.FOUND:
        return _FAILURES[answer.outcome]
    alias = f"(a CNAME leads to {answer.canonical})\n" if answer.canonical else ""
    return alias + _listed(answer.records)


def _page_words(page: PageFetched) -> str:
    if page.problem:
        return f"no answer: {page.problem}"
    text = page.body[:LONGEST_RECORD].decode("utf-8", "replace").replace("\r", "")
    return f"{page.status}, {page.content_type or 'no type'}\n{text}".rstrip()


def _listed(found: tuple[Any, ...]) -> str:
    lines = [_short(_record(each)) for each in found[:MOST_RECORDS]]
    if len(found) > MOST_RECORDS:
        lines.append(f"and {len(found) - MOST_RECORDS:,} more")
    return "\n".join(lines) or "nothing: it is empty"


def _record(record: Any) -> str:
    if isinstance(record, MxRecord):
        return f"{record.preference} {record.exchange}"
    return record if isinstance(record, str) else str(record)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_RECORD else f"{text[:LONGEST_RECORD]} …"


# --- what sort of answer it is ------------------------------------------------------------------------

_TAGS = {"v=spf1": "an SPF record (v=spf1 …)", "v=dmarc1": "a DMARC record (v=DMARC1 …)"}
_SEVERAL = "two or more SPF records"
_OTHER_TEXT = "text, but no SPF and no DMARC record"
_KINDS: Mapping[type, tuple[str, ...]] = {
    TextOf: (*_TAGS.values(), _SEVERAL, _OTHER_TEXT),
    MxOf: ("one host that takes its mail", "several hosts that take its mail"),
    AddressesOf: ("one address", "several addresses"),
    V6AddressesOf: ("one address", "several addresses"),
    NamesOf: ("one name", "several names"),
}
_STS = ("an MTA-STS record (v=STSv1 …)", "two or more MTA-STS records", "text, but no MTA-STS record")
_PAGES = ("a file (200)", "another answer (404, a redirect …)", "no answer, or a bad certificate")
_CALLER = "addresses, the client's own among them"
_OTHERS_ONLY = "addresses, but not the client's"


def kinds(question: Question[Any], *, knows_client: bool = False) -> tuple[str, ...]:
    """All sorts of answers that such a question can get: what is offered does not depend on the answer."""
    if _is_of_sts(question):
        return (*_STS, NO_RECORD, NO_NAME, NO_ANSWER)
    if isinstance(question, PolicyAt):
        return _PAGES
    if type(question) in _DNS:
        is_address = isinstance(question, (AddressesOf, V6AddressesOf))
        found = (_CALLER, _OTHERS_ONLY) if knows_client and is_address else _KINDS[type(question)]
        return (*found, NO_RECORD, NO_NAME, NO_ANSWER)
    if isinstance(question, (AccountNamed, Exists, FolderEntry)):
        return ("yes", "no", "it cannot be said")
    if isinstance(question, FileLine):
        return ("a line for this key", "no line for this key", "the file cannot be opened")
    if isinstance(question, FileText):
        return ("some text", "nothing: it is empty", "the file cannot be opened")
    if isinstance(question, (VerifyRecipient, VerifySender)):
        return ("yes", "no", "it cannot be said")
    return ()


def kind_of(question: Question[Any], answer: Any, client: str = "") -> str:
    """Which of `kinds` this answer is; "" where there are none."""
    if isinstance(answer, DnsAnswer) and type(question) in _DNS:
        return _dns_kind(question, answer, client)
    if isinstance(answer, PageFetched):
        return _PAGES[2 if answer.problem else answer.status != 200]
    offered = kinds(question)
    if not offered:
        return ""
    first, second, third = offered
    if isinstance(answer, (Unopened, Unanswered)):
        return third
    if isinstance(question, (VerifyRecipient, VerifySender)):
        return first if answer.is_good else second if answer.is_bad else third
    if isinstance(question, (FileLine, AccountNamed)):
        return second if answer is None else first
    return first if answer else second


def _is_of_sts(question: Question[Any]) -> bool:
    return isinstance(question, TextOf) and question.name.startswith("_mta-sts.")


def _dns_kind(question: Question[Any], answer: DnsAnswer[Any], client: str) -> str:
    if answer.outcome.is_temporary:
        return NO_ANSWER
    if answer.outcome is DnsOutcome.NXDOMAIN:
        return NO_NAME
    if answer.outcome is DnsOutcome.NODATA or not answer.records:
        return NO_RECORD
    if _is_of_sts(question):
        count = sum(text.startswith("v=STSv1") for text in answer.records)
        return _STS[(2, 0, 1)[min(count, 2)]]
    if isinstance(question, TextOf):
        found = [tag for text in answer.records for tag in _TAGS if text.lower().startswith(tag)]
        if found.count("v=spf1") > 1:
            return _SEVERAL
        return _TAGS[found[0]] if found else _OTHER_TEXT
    if client and isinstance(question, (AddressesOf, V6AddressesOf)):
        return _CALLER if client in answer.records else _OTHERS_ONLY
    one, several = _KINDS[type(question)]
    return one if len(answer.records) == 1 else several
