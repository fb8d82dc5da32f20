"""The one door to whatever decisions ask of the outside: DNS, files, databases, sockets, accounts, memory.

WHAT       `Answers` is made once for a host and answers the questions of mail/questions.py and mail/lookups.py that
           need no configuration; who would have to route (VerifyRecipient, VerifySender) is asked elsewhere.
DECIDES    in a lab the host's disk is a folder and its accounts are the lab's; from the command line the disk is the
           machine's, and `accounts` None means the machine's own.
READ NEXT  state.py
"""

from __future__ import annotations

import pwd
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from labkit.eximconf.expansion.files import find_line
from labkit.mail.asking import Asked, Question, answer_later
from labkit.mail.lookups import (
    DnsRecords,
    Exists,
    FileLine,
    FileText,
    FolderEntry,
    NoAnswer,
    PasswdLine,
    RandomNumber,
    ReadSocket,
    SqliteRows,
    Unanswered,
)
from labkit.mail.questions import (
    Account,
    AccountNamed,
    AddressesOf,
    CallOut,
    DnsAnswer,
    DnsOutcome,
    MxOf,
    NamesOf,
    OwnAddresses,
    Pause,
    RateOf,
    SeenBefore,
    SpamScore,
    SpfFound,
    SpfOf,
    TextOf,
    TlsaOf,
    V6AddressesOf,
)
from labkit.mta.callouts import CalloutExpiry, Callouts
from labkit.mta.rates import Rates
from labkit.net.callout import Caller
from labkit.net.disk import Disk
from labkit.net.host_files import HostFiles
from labkit.net.network import Network
from labkit.net.socket_lookup import Numbers, Sockets
from labkit.net.spamd import Spamd
from labkit.net.sqlite_lookup import PATIENCE, SqliteFiles

FIRST_UID = 1000  # of the lab's accounts, in their order


class AnswersDns(Protocol):
    """A resolver, as the answers need it."""

    async def answer(self, question: Any) -> DnsAnswer[Any]: ...


class CannotAnswer(TypeError):
    """A question that nobody here can answer: a mistake of whoever asked."""


class Answers:
    """What one host can find out.

    `root` is its disk, and a relative path begins at `beside`; `addresses` are its own, the first one calls others;
    `now` and `sleep` are its time; `seed` makes random numbers the same in every run; `rates` is where ratelimit
    and seen are stored, and callouts beside it; `callout_expiry` tells how long these are believed,
    `lock_timeout` how many seconds a locked database is waited for.
    """

    def __init__(
        self,
        *,
        root: Path,
        addresses: Sequence[str],
        resolver: AnswersDns,
        network: Network,
        accounts: Mapping[str, Account] | None,
        now: Callable[[], datetime],
        sleep: Callable[[timedelta], Awaitable[None]],
        beside: Path | None = None,
        seed: str | None = None,
        rates: Path | None = None,
        callout_expiry: Callable[[], CalloutExpiry] = CalloutExpiry,
        lock_timeout: Callable[[], float] = lambda: PATIENCE,
    ) -> None:
        disk = Disk(root, beside)
        self.addresses, self.resolver, self.accounts = tuple(addresses), resolver, accounts
        self.files = HostFiles(disk, find_line)
        self.databases = SqliteFiles(disk, lock_timeout)
        self.sockets = Sockets(disk, network, addresses[0], self._addresses_of)
        self.filters = Spamd(disk, network, addresses[0], self._addresses_of, sleep)
        self.numbers = Numbers(seed)
        self.rates = Rates(now, rates)
        beside_rates = None if rates is None else rates.with_name("labkit-callouts")
        self.callouts = Callouts(Caller(network, addresses[0], now, sleep), callout_expiry, beside_rates)
        self._sleep, self._now = sleep, now
        self._answers: dict[type, Callable[[Any], Any]] = {
            MxOf: self._dns,
            AddressesOf: self._addresses,
            V6AddressesOf: self._dns,
            TextOf: self._dns,
            TlsaOf: self._dns,
            NamesOf: self._dns,
            DnsRecords: self._dns_records,
            AccountNamed: self._account,
            PasswdLine: self._passwd_line,
            OwnAddresses: lambda question: self.addresses,
            FileLine: self.files.line,
            FileText: self.files.text,
            FolderEntry: self.files.entry,
            Exists: self.files.exists,
            SqliteRows: self.databases.rows,
            ReadSocket: self.sockets.read,
            RandomNumber: self.numbers.number,
            CallOut: self.callouts.answer,
            RateOf: self.rates.rate,
            SeenBefore: self.rates.seen,
            SpamScore: self.filters.score,
            SpfOf: self.spf,
            Pause: lambda question: self._sleep(timedelta(seconds=question.seconds)),
        }

    async def answer(self, question: Question[Any]) -> Any:
        """Answer one question. Raises CannotAnswer."""
        answer = self._answers.get(type(question))
        if answer is None:
            raise CannotAnswer(f"nobody here can answer {question!r}")
        found = answer(question)
        return await found if isinstance(found, Awaitable) else found

    async def spf(self, question: SpfOf, heard: Callable[[Asked], None] | None = None) -> SpfFound | None:
        """What SPF says; `heard` is told the questions that the room auth asks for it."""
        from labkit.auth import exim_spf  # most hosts never ask

        asking = exim_spf.found(question, self._now().timestamp())
        return await answer_later(self.answer, asking, heard)

    def store(self) -> None:
        """Bring what is remembered to disk, if anything has changed. Raises OSError."""
        self.rates.store()
        self.callouts.store()

    def close(self) -> None:
        """Store what is remembered, and let go of files."""
        self.databases.close()
        with suppress(OSError):  # these are only hints
            self.store()

    # --- DNS ----------------------------------------------------------------------------------

    async def _dns(self, question: Question[DnsAnswer[Any]]) -> DnsAnswer[Any]:
        return await self.resolver.answer(question)

    async def _dns_records(self, question: DnsRecords) -> tuple[str, ...] | NoAnswer | None:
        found = await self.resolver.answer(question)
        if found.outcome.is_temporary:
            return Unanswered(found.outcome.value)
        return found.records or None

    async def _addresses(self, question: AddressesOf) -> DnsAnswer[str]:
        """`localhost` is every machine's own name for itself, whatever the DNS says (RFC 6761 §6.3)."""
        if question.host.rstrip(".").lower() == "localhost":
            return DnsAnswer(DnsOutcome.FOUND, ("127.0.0.1",))
        return await self.resolver.answer(question)

    async def _addresses_of(self, name: str) -> tuple[str, ...]:
        found = await self.resolver.answer(AddressesOf(name))
        return found.records

    # --- accounts -----------------------------------------------------------------------------

    def _account(self, question: AccountNamed) -> Account | None:
        if self.accounts is not None:
            account = self.accounts.get(question.name)
            if account is None or account.uid is not None:
                return account
            number = self._number_of(question.name)
            return replace(account, uid=number, gid=number)
        entry = _system_account(question.name)
        if entry is None:
            return None
        return Account(_octets(entry.pw_name), _octets(entry.pw_dir), entry.pw_uid, entry.pw_gid)

    def _number_of(self, name: str) -> int:
        """The number of one of the lab's accounts, as user and as group."""
        assert self.accounts is not None
        return FIRST_UID + list(self.accounts).index(name)

    def _passwd_line(self, question: PasswdLine) -> tuple[int, int, str, str, str] | None:
        if self.accounts is not None:
            account = self.accounts.get(question.name)
            if account is None:
                return None
            number = self._number_of(question.name)
            return number, number, "", account.home, "/bin/sh"
        entry = _system_account(question.name)
        if entry is None:
            return None
        words = map(_octets, (entry.pw_gecos, entry.pw_dir, entry.pw_shell))
        return (entry.pw_uid, entry.pw_gid, *words)  # type: ignore[return-value]


def _system_account(name: str) -> pwd.struct_passwd | None:
    """An account of this machine."""
    try:
        return pwd.getpwnam(name.encode("latin-1").decode("utf-8", "surrogateescape"))
    except (KeyError, ValueError):
        return None


def _octets(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("latin-1")
