"""An exercise of notebook 02c: an aggregate report read. Who sends in your name, and who would lose mail by p=reject?

WHAT       `await a_day(world)` lets a day of mail pass, and the provider report on it; `Reading(world, who, lost)` is
           what you make of the report; `read the report` judges it.
DECIDES    whose an address is stands in the lab; what the report says of it, in the report that came by mail.
STANDARDS  RFC 9990
READ NEXT  ../views/report_table.py
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from labkit.auth.aggregate_report import AggregateReport, Row
from labkit.lab.provider_reports import NoReport, report_in, send_reports
from labkit.lab.ways_to_carol import send_along
from labkit.lab.world import World
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo

MAILBOX = "postmaster"
DAY = {"direct": 3, "relay": 2, "forwarder": 2, "forwarder with SRS": 1, "backup MX": 1, "mailing list": 2,
       "spoofer": 4}  # fmt: skip
ME, RELAY, FORWARDER, BACKUP, LIST, SPOOFER = "me", "relay", "forwarder", "backup", "list", "spoofer"
WORDS = (ME, RELAY, FORWARDER, BACKUP, LIST, SPOOFER)
OPEN = "?"
_ROLES = {"student": ME, "relay": RELAY, "forwarder": FORWARDER, "forwarder with SRS": FORWARDER, "backup": BACKUP,
          "mailing lists": LIST, "spoofer": SPOOFER}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """`who`: a word for each address of the report; `lost`: from which addresses honest mail is lost by p=reject."""

    world: World
    who: Mapping[str, str] = field(default_factory=dict)
    lost: Collection[str] | None = None


async def a_day(world: World) -> None:
    """Letters by all ways; at the end of the day the provider sends its report, and it comes."""
    for way, count in DAY.items():
        for _ in range(count):
            await send_along(world, way)
    await world.advance(hours=15)
    await send_reports(world.provider)
    await world.settle()


def last_report(world: World) -> AggregateReport | None:
    """The newest report in the postmaster's mailbox."""
    for message in reversed(world.mine.mailbox(MAILBOX)):
        try:
            return report_in(message)
        except NoReport:
            continue
    return None


@exercise("read the report", "You know who sends in your name, and what p=reject would cost")
def read_the_report(reading: Reading) -> Verdict:
    """Judge the reading by the report and by whose the addresses are."""
    if not isinstance(reading, Reading):
        return todo('Give what you have read: check("read the report", Reading(world, who, lost)).')
    report = last_report(reading.world)
    if report is None:
        return todo("No report has come yet: await a_day(world).")
    who = {str(address).strip(): str(word).strip().lower() for address, word in reading.who.items()}
    if all(word == OPEN for word in who.values()):
        return todo(f"Write a word for each address in the place of its ?: {', '.join(WORDS)}.")
    rows: dict[str, list[Row]] = {}
    for row in report.rows:
        rows.setdefault(row.source_ip, []).append(row)
    return (
        _complete(who, rows)
        or _whose(
            who, rows, {host.address: _ROLES.get(host.role, "") for host in reading.world.hosts.values()}
        )
        or _lost(reading, who, rows)
        or done(
            "All senders are known, and the price of p=reject, too.",
            [
                Seen(reading.world.now(), MAILBOX, f"{one}: {who[one]}, {_evidence(rows[one])}")
                for one in rows
            ],
        )
    )


def _complete(who: Mapping[str, str], rows: Mapping[str, list[Row]]) -> Verdict | None:
    missing = [address for address in rows if who.get(address, OPEN) == OPEN]
    if missing:
        return hint(
            f"The report has {len(rows)} addresses; {missing[0]} still has no word: {_evidence(rows[missing[0]])}."
        )
    wrong = [word for word in who.values() if word not in WORDS]
    if wrong:
        return hint(f"{wrong[0]!r} is no word of this exercise: {', '.join(WORDS)}.")
    strange = [address for address in who if address not in rows]
    return hint(f"{strange[0]} is not in the report.") if strange else None


_BY_MISTAKE = {
    (
        ME,
        RELAY,
    ): "It is in your SPF record, and more than one host is: which of the two does the record name itself, and "
    "which comes by include?",
    (
        FORWARDER,
        SPOOFER,
    ): "SPF fails, as it does for a liar. But your signature holds: only you can have made it. Who "
    "sends on what you wrote, without changing it?",
    (
        BACKUP,
        SPOOFER,
    ): "SPF fails, as it does for a liar. But your signature holds: only you can have made it. Whose host "
    "takes Carol's mail when her provider is down?",
    (SPOOFER, FORWARDER): "Who only sends on your letter sends your signature with it. Is there one here?",
    (
        SPOOFER,
        LIST,
    ): "A list sends under its own name, and SPF passes for that; your broken signature is still there. Is "
    "it so here?",
    (
        LIST,
        SPOOFER,
    ): "There is a signature of yours, a broken one, and SPF passes for a name that says who it is. Who "
    "changes letters, and means well?",
    (LIST, FORWARDER): "A forwarder leaves the letter as it was, and your signature holds. Does it here?",
    (
        FORWARDER,
        LIST,
    ): "Your signature holds: nobody has changed the letter. Does that list leave letters alone?",
    (
        BACKUP,
        FORWARDER,
    ): "The report alone does not tell these two apart: the letter is whole, and the address is none of "
    "yours. Ask the DNS: which hosts are the mail exchangers of Carol's domain?",
    (
        FORWARDER,
        BACKUP,
    ): "The report alone does not tell these two apart: the letter is whole, and the address is none of "
    "yours. Ask the DNS: which address has the second mail exchanger of Carol's domain?",
}


def _whose(who: Mapping[str, str], rows: Mapping[str, list[Row]], truth: Mapping[str, str]) -> Verdict | None:
    for address in rows:
        right, said = truth.get(address, ""), who[address]
        if right == said:
            continue
        pair = (
            (right, said)
            if (right, said) in _BY_MISTAKE
            else (ME, RELAY)
            if {right, said} == {ME, RELAY}
            else None
        )
        words = (
            _BY_MISTAKE[pair]
            if pair
            else "Look at the two names in its row: for whom does SPF pass, for whom DKIM?"
        )
        return hint(f"{address} is not what you say. The report: {_evidence(rows[address])}. {words}")
    return None


def _lost(reading: Reading, who: Mapping[str, str], rows: Mapping[str, list[Row]]) -> Verdict | None:
    if reading.lost is None:
        return hint(
            "All senders are right. Now the second question: lost = {...}, the addresses of honest senders."
        )
    given = [reading.lost] if isinstance(reading.lost, str) else reading.lost
    lost = {str(address).strip() for address in given}
    if strange := sorted(lost - {*rows}):
        return hint(f"lost = {{...}} takes addresses of the report; {strange[0]!r} is none.")
    fails = {
        address for address, seen in rows.items() if any("pass" not in (one.spf, one.dkim) for one in seen)
    }
    honest = {address for address in fails if who[address] != SPOOFER}
    if lies := sorted(address for address in lost if who.get(address) == SPOOFER):
        return hint(
            f"{lies[0]} is Mallory: that his letters are refused is no loss, it is what the policy is for."
        )
    if passing := sorted(lost - fails):
        return hint(
            f"Nothing is lost from {passing[0]}: SPF or DKIM is aligned there, and one of them is enough for DMARC."
        )
    if missing := sorted(honest - lost):
        return hint(
            f"One honest sender is missing: look for a row in which nothing is aligned, and which is not Mallory's "
            f"({len(missing)} to find)."
        )
    return None


def _evidence(rows: list[Row]) -> str:
    first = rows[0]
    spf = f"SPF {first.spf_seen.result} for {first.spf_seen.domain}" if first.spf_seen else "no SPF"
    dkim = (
        ", ".join(f"DKIM {each.result} for {each.domain}" for each in first.dkim_seen[:2]) or "no signature"
    )
    return f"{sum(row.count for row in rows)} letters, {spf}, {dkim}"
