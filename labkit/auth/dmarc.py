"""Decide by DMARC: does what SPF or DKIM has proved belong to the author's domain, and what if not?

WHAT       `evaluate(author_domain, spf, dkim)`: pass, fail, none, temperror or permerror, with the policy that applies.
DECIDES    which record applies (the author's own; else that of the Organizational Domain; else that of a public suffix)
           and which of its policies: p, or sp for a subdomain, or np for one that does not exist; t=y takes it one
           step down. Whether a domain that passed SPF or DKIM is aligned: the same domain, or in relaxed mode one with
           the same Organizational Domain.
RULES      nothing is asked that is not needed: equal names are aligned without a walk. What the DNS does not answer is
           temperror, unless another identifier is aligned. A domain exists unless the DNS says NXDOMAIN.
NOT HERE   what a receiver does with the message: that is its own policy (RFC 9989 §5.3.6, §5.4, §7.4)
STANDARDS  RFC 9989 §4.7, §4.10, §5.3; appendix A.4 (the test of existence) and B.4 (examples)
NOT VERIFIED  the RFC leaves open what a time-out of the existence test means: here temperror, where the policy
           depends on it.
READ NEXT  dmarc_7489.py, dmarc_lint.py
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.auth.dmarc_record import DmarcRecord
from labkit.auth.dmarc_tree import NoAnswer, Tree
from labkit.auth.domain_names import domain_name, is_at_or_below
from labkit.auth.steps import Step
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import AddressesOf, DnsOutcome

Pair = tuple[str, str]  # (result, domain)

MOST_IDENTIFIERS = 20  # different domains that passed and are looked at: each may cost a walk
LOWER = {"reject": "quarantine", "quarantine": "none", "none": "none"}  # t=y: one step down


@dataclass(frozen=True, slots=True)
class DmarcResult:
    """What DMARC says of a message.

    `policy` is what the domain's owner asks for if the message fails (p, sp or np, after t): none, quarantine or
    reject; None where no record applies. `policy_tag` says where it stands, `policy_domain` whose record it is.
    `aligned_spf` and `aligned_dkim` are the domains that are aligned, or empty. `organizational_domain` is that of the
    author, empty if nobody needed to know it.
    """

    result: str
    reason: str
    author_domain: str = ""
    policy: str | None = None
    policy_tag: str = ""
    policy_domain: str = ""
    organizational_domain: str = ""
    record: DmarcRecord | None = None
    aligned_spf: str = ""
    aligned_dkim: str = ""
    is_testing: bool = False
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        return f"dmarc={self.result} ({self.reason})"

    @property
    def domain(self) -> str:
        """The domain whose record applied; the author's where none did."""
        return self.policy_domain or self.author_domain


def evaluate(author_domain: str, spf: Any = None, dkim: Any = ()) -> Asking[DmarcResult]:
    """Evaluate DMARC for a From: domain (of an address the domain counts).

    `spf` and `dkim`: what they found, as (result, domain): one pair, several, or None; the results of check_host and
    verify are taken too. For SPF the domain is that of MAIL FROM (of HELO if MAIL FROM is empty).
    """
    return _Evaluation(author_domain, pairs_of(spf), pairs_of(dkim)).run()


def domains_with(wanted: str, pairs: Sequence[Pair]) -> tuple[str, ...]:
    """The domains that have this result, each once, in order."""
    names = (domain_name(domain.rpartition("@")[2]) for result, domain in pairs if result == wanted)
    return tuple(dict.fromkeys(name for name in names if name))


def passed_domains(found: Any) -> tuple[str, ...]:
    """The domains that passed, each once, in order. `found`: a pair, pairs, results, or None."""
    return domains_with("pass", pairs_of(found))


def pairs_of(found: Any) -> list[Pair]:
    """(result, domain) of whatever is given. Raises TypeError for anything else."""
    if found is None:
        return []
    if hasattr(found, "result"):
        return [(str(found.result).lower(), found.domain or "")]
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise TypeError(f"a result is given as (result, domain), not as {found!r}")
    members = list(found)
    if len(members) == 2 and isinstance(members[0], str) and isinstance(members[1], str | None):
        return [(members[0].lower(), members[1] or "")]
    return [pair for member in members for pair in pairs_of(member)]


class _Evaluation:
    """One evaluation under way: the steps so far, and what is known of the tree."""

    def __init__(self, author_domain: str, spf: Sequence[Pair], dkim: Sequence[Pair]) -> None:
        self.given = author_domain
        self.spf = spf
        self.dkim = dkim
        self.steps: list[Step] = []
        self.tree = Tree(self.steps)

    def run(self) -> Asking[DmarcResult]:
        author = domain_name(self.given.rpartition("@")[2])
        if author is None:
            reason = f"{self.given[:60]!r} is no domain name, and DMARC needs exactly one From: domain"
            return self._end("permerror", reason)
        try:
            owner, record = yield from self._discover(author)
        except NoAnswer as problem:
            return self._end("temperror", f"{problem}: the policy is not known", author)
        if record is None:
            reason = f"neither {author} nor a domain above it that counts has a DMARC record"
            return self._end("none", reason, author, organizational_domain=self._known_organization(author))
        if not record.is_usable:
            reason = (
                f"the record of {owner} has no valid policy and no address for reports: DMARC does not apply"
            )
            self._say(reason, "RFC 9989 §4.10.1", data=record.text)
            return self._end("none", reason, author, organizational_domain=self._known_organization(author))
        return (yield from self._judge(author, owner, record))

    def _discover(self, author: str) -> Asking[tuple[str, DmarcRecord | None]]:
        """The record that applies to the author's domain, and whose it is. Raises NoAnswer."""
        own = yield from self.tree.at(author)
        if own is not None:
            self._say(f"{author} has a record of its own: it applies", "RFC 9989 §4.10.1")
            return author, own
        found = yield from self.tree.walk(author)
        organization = yield from self.tree.organization(author)
        records = {one.domain: one.record for one in found}
        if organization in records:
            self._say(f"the record of the Organizational Domain {organization} applies", "RFC 9989 §4.10.1")
            return organization, records[organization]
        if found:  # the only way here: a psd=y above an Organizational Domain without a record
            self._say(f"the record of the public suffix {found[-1].domain} applies", "RFC 9989 §4.10.1")
            return found[-1].domain, found[-1].record
        return "", None

    def _judge(self, author: str, owner: str, record: DmarcRecord) -> Asking[DmarcResult]:
        is_subdomain = author != owner
        exists: bool | None = True
        if is_subdomain and record.has_valid_policies and record.np and record.np != (record.sp or record.p):
            exists = yield from self._exists(author)
        published, tag = record.policy(is_subdomain=is_subdomain, exists=exists is not False)
        policy = self._after_test_mode(published, tag, record)
        spf, spf_problem = yield from self._passed("SPF", self.spf, author, record.aspf)
        dkim, dkim_problem = yield from self._passed("DKIM", self.dkim, author, record.adkim)
        problem = spf_problem or dkim_problem
        if not (spf or dkim or problem):
            problem = yield from self._undecided(author, record)
        if exists is None:
            problem = problem or f"whether {author} exists is not known"
        known: dict[str, Any] = {
            "policy_domain": owner,
            "organizational_domain": self._known_organization(author, spf, dkim),
            "record": record,
            "aligned_spf": spf,
            "aligned_dkim": dkim,
            "is_testing": record.is_testing,
        }
        if spf or dkim:
            by = " and ".join(f"{how} for {name}" for how, name in (("SPF", spf), ("DKIM", dkim)) if name)
            return self._end("pass", f"aligned with {author}: {by}", author, policy, policy_tag=tag, **known)
        if problem:
            return self._end("temperror", problem, author, **known)
        reason = f"no domain that passed is aligned with {author}; {owner} asks for {policy}"
        return self._end("fail", reason, author, policy, policy_tag=tag, **known)

    def _exists(self, author: str) -> Asking[bool | None]:
        """Whether the name exists: any answer but NXDOMAIN says so. None: nobody knows."""
        question = AddressesOf(author)
        answer = yield from ask(question)
        if answer.outcome.is_temporary:
            exists, words = None, f"whether {author} exists is not known: {answer.outcome.value}"
        elif answer.outcome is DnsOutcome.NXDOMAIN:
            exists, words = False, f"{author} does not exist (NXDOMAIN): np counts"
        else:
            exists, words = True, f"{author} exists: np does not count"
        self.steps.append(Step(words, "RFC 9989 appendix A.4", question=question))
        return exists

    def _after_test_mode(self, published: str, tag: str, record: DmarcRecord) -> str:
        if not record.has_valid_policies:
            self._say("a policy is missing or wrong, but there is a rua: as if p=none", "RFC 9989 §4.10.1")
        else:
            self._say(f"the policy is {tag}={published}", "RFC 9989 §4.10.1", data=record.text)
        if not record.is_testing or published == "none":
            return published
        self._say(
            f"t=y: the owner is testing, so {LOWER[published]} instead of {published}", "RFC 9989 §4.7 t"
        )
        return LOWER[published]

    def _passed(self, how: str, pairs: Sequence[Pair], author: str, mode: str) -> Asking[tuple[str, str]]:
        """The first domain that passed and is aligned, or empty; and what kept us from knowing, or empty."""
        names = domains_with("pass", pairs)
        if not names:
            self._say(f"{how} has proved no domain", "RFC 9989 §4.4")
            return "", ""
        return (yield from self._aligned(f"{how} passed", names, author, mode))

    def _undecided(self, author: str, record: DmarcRecord) -> Asking[str]:
        """What might yet pass and be aligned, had the DNS answered SPF or DKIM; or empty."""
        for how, pairs, mode in (("SPF", self.spf, record.aspf), ("DKIM", self.dkim, record.adkim)):
            names = domains_with("temperror", pairs)
            name, problem = (
                (yield from self._aligned(f"{how} is undecided", names, author, mode)) if names else ("", "")
            )
            if name or problem:
                return problem or f"{how} is undecided (temperror) for {name}, which is aligned with {author}"
        return ""

    def _aligned(self, claim: str, names: Sequence[str], author: str, mode: str) -> Asking[tuple[str, str]]:
        """The first of the names that is aligned, or empty; and what kept us from knowing, or empty."""
        if author in names:
            self._say(f"{claim} for {author}, the author's domain itself: aligned", "RFC 9989 §4.4")
            return author, ""
        if mode == "s":
            self._say(f"{claim} for {names[0]}, not for {author}; strict mode: not aligned", "RFC 9989 §4.4")
            return "", ""
        problem = ""
        for name in names[:MOST_IDENTIFIERS]:
            try:
                if (yield from self._shares_organization(claim, name, author)):
                    return name, ""
            except NoAnswer as trouble:
                problem = f"{trouble}: whether {name} is aligned is not known"
        if len(names) > MOST_IDENTIFIERS:
            self._say(f"more than {MOST_IDENTIFIERS} domains, {claim}: the others are not looked at", "limit")
        return "", problem

    def _shares_organization(self, claim: str, name: str, author: str) -> Asking[bool]:
        """Relaxed mode: have both the same Organizational Domain? Raises NoAnswer."""
        organization = yield from self.tree.organization(author)
        if not is_at_or_below(
            name, organization
        ):  # its Organizational Domain is itself or above it: no walk can help
            self._say(
                f"{claim} for {name}, which is not below {organization}: not aligned", "RFC 9989 §4.10.2"
            )
            return False
        other = yield from self.tree.organization(name)
        verdict = "aligned" if other == organization else "not aligned"
        self._say(f"{claim} for {name}, of the organization {other}: {verdict}", "RFC 9989 §4.10.2")
        return other == organization

    def _known_organization(self, author: str, *aligned: str) -> str:
        """The Organizational Domain if a walk found it; without one an aligned author's own domain counts as such."""
        return self.tree.organizations.get(author, author if author in aligned else "")

    def _say(self, words: str, source: str, data: str = "") -> None:
        self.steps.append(Step(words, source, data=data))

    def _end(
        self, result: str, reason: str, author: str = "", policy: str | None = None, **known: Any
    ) -> DmarcResult:
        self._say(f"{result}: {reason}", "RFC 9989 §5.3.5")
        return DmarcResult(result, reason, author, policy, steps=tuple(self.steps), **known)
