"""What a receiver of the old DMARC (RFC 7489) would have done: a list of public suffixes, and pct.

WHAT       `evaluate_7489(author_domain, spf, dkim, is_public_suffix)`, beside dmarc.py for comparison.
DECIDES    the Organizational Domain is the name one label below the longest public suffix. The author's own record
           counts, else that of the Organizational Domain; two records at a name end the search. p, or sp for what
           is below the Organizational Domain. pct: of the failing messages the others get the next lower policy.
WHY        receivers change slowly. No psd, no np, no t here: what only these tags prevent, such a receiver lets pass.
LIST       the list of public suffixes is the caller's: `is_public_suffix(name)`. Without one each top-level domain is
           a public suffix and nothing else, as the list says of names that it does not know ("*").
STANDARDS  RFC 7489 §3.2 (Organizational Domain), §6.3 (tags), §6.6.3 (discovery), §6.6.4 (pct)
READ NEXT  dmarc_lint.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.auth.dmarc import LOWER, passed_domains
from labkit.auth.dmarc_record import DmarcRecord, is_dmarc_record, read_record
from labkit.auth.domain_names import LONGEST_NAME, domain_name, labels_of
from labkit.auth.steps import Step
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import TextOf

IsPublicSuffix = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Dmarc7489Result:
    """The verdict of the old DMARC. If it is fail, `pct` in a hundred messages get `policy`, the others `otherwise`."""

    result: str
    reason: str
    policy: str | None = None
    otherwise: str | None = None
    pct: int = 100
    policy_domain: str = ""
    organizational_domain: str = ""
    record: DmarcRecord | None = None
    aligned_spf: str = ""
    aligned_dkim: str = ""
    steps: tuple[Step, ...] = ()


def is_top_level(name: str) -> bool:
    """The list's own rule for what it does not know: a top-level domain is a public suffix."""
    return "." not in name


def organizational_domain_7489(name: str, is_public_suffix: IsPublicSuffix = is_top_level) -> str:
    """The longest public suffix and one label more; the name itself if it is a public suffix (RFC 7489 §3.2)."""
    labels = labels_of(name)
    for start in range(len(labels)):
        if is_public_suffix(".".join(labels[start:])):
            return ".".join(labels[max(0, start - 1) :])
    return ".".join(labels[-2:])  # the rule "*"


def evaluate_7489(
    author_domain: str, spf: Any = None, dkim: Any = (), is_public_suffix: IsPublicSuffix = is_top_level
) -> Asking[Dmarc7489Result]:
    """Evaluate the DMARC of RFC 7489. `spf` and `dkim` as for dmarc.evaluate."""
    steps: list[Step] = []
    author = domain_name(author_domain)
    if author is None:
        return _ended(steps, "permerror", f"{author_domain[:60]!r} is no domain name")
    organization = organizational_domain_7489(author, is_public_suffix)
    steps.append(Step(f"the Organizational Domain of {author} is {organization}", "RFC 7489 §3.2"))
    owner, records = author, (yield from _records(author, steps))
    if records == [] and organization != author:
        owner, records = organization, (yield from _records(organization, steps))
    if records is None:
        return _ended(steps, "temperror", f"the DNS did not answer for _dmarc.{owner}")
    known: dict[str, Any] = {"policy_domain": owner, "organizational_domain": organization}
    record = read_record(records[0]) if len(records) == 1 else None
    if record is None:
        words = f"{len(records)} records at _dmarc.{owner}: none counts" if records else "no DMARC record"
        return _ended(steps, "none", words, organizational_domain=organization)
    is_below = author != owner
    if not ((record.p and (record.sp or record.tag("sp") is None)) or record.rua):
        return _ended(steps, "none", "the record has no valid policy, and no rua", **known, record=record)
    aligned = {
        "aligned_spf": _aligned(passed_domains(spf), author, record.aspf, organization, is_public_suffix),
        "aligned_dkim": _aligned(passed_domains(dkim), author, record.adkim, organization, is_public_suffix),
    }
    policy, pct = _policy(record, is_below), _percent(record)
    known.update(
        aligned, policy=policy, pct=pct, otherwise=LOWER[policy] if pct < 100 else policy, record=record
    )
    if any(aligned.values()):
        return _ended(
            steps, "pass", f"aligned with {author}: {', '.join(filter(None, aligned.values()))}", **known
        )
    share = f" for {pct} in a hundred" if pct < 100 else ""
    return _ended(
        steps, "fail", f"nothing is aligned with {author}; {owner} asks for {policy}{share}", **known
    )


def _records(owner: str, steps: list[Step]) -> Asking[list[str] | None]:
    """The DMARC records of a domain; None: nobody could say."""
    question = TextOf(f"_dmarc.{owner}")
    if len(question.name) > LONGEST_NAME:
        return []
    answer = yield from ask(question)
    found = [text for text in answer.records if is_dmarc_record(text)]
    words = f"{len(found)} DMARC record(s)" if found else f"no DMARC record, {answer.outcome.value}"
    steps.append(
        Step(f"{question.name}: {words}", "RFC 7489 §6.6.3", data="\n".join(found), question=question)
    )
    return None if answer.outcome.is_temporary else found


def _policy(record: DmarcRecord, is_below: bool) -> str:
    if not record.p or (record.tag("sp") is not None and not record.sp):
        return "none"
    return record.sp or record.p if is_below else record.p


def _percent(record: DmarcRecord) -> int:
    text = record.tag("pct") or "100"
    is_number = text.isascii() and text.isdigit() and len(text) <= 3
    return int(text) if is_number and int(text) <= 100 else 100


def _aligned(
    passed: Sequence[str], author: str, mode: str, organization: str, is_public_suffix: IsPublicSuffix
) -> str:
    """The first domain that passed and is aligned, or empty."""
    for name in passed:
        is_relative = mode == "r" and organizational_domain_7489(name, is_public_suffix) == organization
        if name == author or is_relative:
            return name
    return ""


def _ended(steps: list[Step], result: str, reason: str, **known: Any) -> Dmarc7489Result:
    steps.append(Step(f"{result}: {reason}", "RFC 7489 §6.6.2"))
    return Dmarc7489Result(result, reason, steps=tuple(steps), **known)
