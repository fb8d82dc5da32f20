"""Answer CallOut, and remember the answer: the next message of the same sender costs no call.

WHAT       `Callouts` asks net/callout.py for what it does not know; a record for each domain, and one for each address.
DECIDES    a domain that refused HELO, or MAIL FROM:<>, is not called again; nor one that takes every local part, or
           has no postmaster. A temporary answer is not remembered.
LIKE EXIM  what is kept, for how long, and the words for what was known; no_cache neither looks it up nor keeps it
STANDARDS  Exim specification, section "Callout caching"
READ NEXT  answers.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from labkit.eximconf.configuration import Options
from labkit.mail.questions import CallOut, CalloutAnswer, Standing
from labkit.mta.hint_file import HintFile, keep
from labkit.net.callout import Caller, call_out

REFUSED_EARLIER = "(result of an earlier callout reused)."
NO_POSTMASTER_EARLIER = "(result of earlier verification reused)."
BAD_ADDRESS_EARLIER = "Previous (cached) callout verification failure"


@dataclass(frozen=True, slots=True)
class CalloutExpiry:
    """Seconds for which an answer is believed: the options callout_…_expire."""

    positive: float = 86_400
    negative: float = 7_200
    domain_positive: float = 604_800
    domain_negative: float = 10_800


def expiry_of(main: Options) -> CalloutExpiry:
    """What the main section of a configuration says of it."""
    kinds = ("positive", "negative", "domain_positive", "domain_negative")
    return CalloutExpiry(*(main.seconds(f"callout_{kind}_expire") for kind in kinds))


@dataclass(frozen=True, slots=True)
class Domain:
    """What is known of a domain: `takes_mail` False: not even HELO. None: not known; the times tell since when."""

    at: float
    takes_mail: bool
    takes_null_sender: bool = True
    takes_anybody: bool | None = None
    anybody_at: float = 0
    has_postmaster: bool | None = None
    postmaster_at: float = 0


class Callouts:
    """The callouts of one host. `expiry` may change with the configuration; `path` is where records are stored."""

    def __init__(
        self,
        caller: Caller,
        expiry: Callable[[], CalloutExpiry] = CalloutExpiry,
        path: Path | None = None,
    ) -> None:
        self._caller, self._expiry, self._file = caller, expiry, HintFile(path)
        self._domains: dict[str, Domain] = {}
        self._addresses: dict[str, tuple[float, bool]] = {}
        self._changed = False
        self._read()

    async def answer(self, question: CallOut) -> CalloutAnswer:
        """What the hosts say, or said."""
        if not question.how.uses_cache:
            return await call_out(question, self._caller)
        known, left = self._known(question)
        if known is not None:
            return known
        answer = await call_out(left, self._caller)
        self._note(left, answer)
        return answer

    def _known(self, question: CallOut) -> tuple[CalloutAnswer | None, CallOut]:
        """The answer that is known, or the question with what is left of it."""
        how = question.how
        domain = self._domain(question.address.domain)
        if domain is not None:
            if not domain.takes_mail or not (domain.takes_null_sender or how.mail_from):
                return CalloutAnswer(Standing.BAD, REFUSED_EARLIER, "mail"), question
            if how.is_random:
                if domain.takes_anybody is None:
                    return None, question
                if domain.takes_anybody:
                    return CalloutAnswer(Standing.GOOD, failure="random"), question
                how = replace(how, is_random=False)
            if how.postmaster is not None:
                if domain.has_postmaster is False:
                    return CalloutAnswer(Standing.BAD, NO_POSTMASTER_EARLIER, "postmaster"), question
                if domain.has_postmaster is None:
                    return None, replace(question, how=how)
                how = replace(how, postmaster=None)
        left = replace(question, how=how)
        is_good = self._address(_key(question))
        if is_good is None:
            return None, left
        if is_good:
            return CalloutAnswer(Standing.GOOD), left
        return CalloutAnswer(Standing.BAD, BAD_ADDRESS_EARLIER, "recipient"), left

    def _domain(self, name: str) -> Domain | None:
        """What is known of a domain and still believed."""
        record, expiry, now = self._domains.get(name.lower()), self._expiry(), self._now()
        if record is None:
            return None
        is_good = record.takes_mail and record.takes_null_sender and record.has_postmaster is not False
        life = expiry.domain_positive if is_good else expiry.domain_negative
        if now - record.at > life:
            return None
        return replace(
            record,
            takes_anybody=record.takes_anybody if now - record.anybody_at <= life else None,
            has_postmaster=record.has_postmaster if now - record.postmaster_at <= life else None,
        )

    def _address(self, key: str) -> bool | None:
        at, is_good = self._addresses.get(key, (0.0, None))
        if is_good is None:
            return None
        expiry = self._expiry()
        return is_good if self._now() - at <= (expiry.positive if is_good else expiry.negative) else None

    def _note(self, asked: CallOut, answer: CalloutAnswer) -> None:
        """Remember what was said for good."""
        if answer.standing is Standing.UNDECIDED:
            return
        how, now = asked.how, self._now()
        name = asked.address.domain.lower()
        before = self._domain(name)
        if answer.standing is Standing.BAD and answer.failure in ("", "mail"):
            record = Domain(now, takes_mail=answer.failure == "mail", takes_null_sender=bool(how.mail_from))
            if answer.failure == "" or not how.mail_from:
                keep(self._domains, name, record)
                self._changed = True
            return
        record = before or Domain(now, takes_mail=True)
        # a sender of our own says nothing about the null sender
        record = replace(
            record, at=now, takes_mail=True, takes_null_sender=record.takes_null_sender or not how.mail_from
        )
        if how.is_random:
            record = replace(record, takes_anybody=answer.failure == "random", anybody_at=now)
        if how.postmaster is not None and answer.failure in ("", "postmaster"):
            record = replace(record, has_postmaster=answer.failure == "", postmaster_at=now)
        keep(self._domains, name, record)
        self._changed = True
        if answer.failure != "random":
            keep(self._addresses, _key(asked), (now, answer.failure != "recipient"))

    def _now(self) -> float:
        return self._caller.now().timestamp()

    # --- storing ------------------------------------------------------------------------------

    def store(self) -> None:
        """Bring it to disk, if anything has changed. Raises OSError."""
        if self._changed:
            domains = {name: asdict(record) for name, record in self._domains.items()}
            self._file.write({"domains": domains, "addresses": self._addresses})
            self._changed = False

    def _read(self) -> None:
        stored = self._file.read()
        try:
            domains = {str(name): Domain(**fields) for name, fields in stored.get("domains", {}).items()}
            addresses = {
                str(k): (float(at), bool(good)) for k, (at, good) in stored.get("addresses", {}).items()
            }
        except (ValueError, TypeError, AttributeError):
            return
        self._domains, self._addresses = domains, addresses


def _key(question: CallOut) -> str:
    """An address; and the sender, unless it is the null one: another sender may get another answer."""
    address = question.address
    sender = question.how.mail_from
    return f"{address.local_part}@{address.domain.lower()}" + (f"/<{sender}>" if sender else "")
