"""Where the reports on a domain may go: the addresses in rua= and ruf=, and whether their owners agreed.

WHAT       `report_receivers(domain, record)` says of each address whether a report may be sent there, and to which.
RULES      an address in the same organization needs no consent. Another organization consents by a record at
           `domain._report._dmarc.host` that begins with v=DMARC1; a rua= in it puts another address in the place of
           the first, at the same host. A record that names another host is an attack or a mistake: nothing is sent.
WHY        else anybody could have thousands of reports sent to a victim.
STANDARDS  RFC 9990 §4
READ NEXT  dmarc_lint.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.auth.dmarc_record import DmarcRecord, mail_domain, read_record
from labkit.auth.dmarc_tree import NoAnswer, organizational_domain_of
from labkit.auth.domain_names import LONGEST_NAME, domain_name
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import TextOf

MOST_RECEIVERS = 10  # addresses that are looked at


@dataclass(frozen=True, slots=True)
class Receiver:
    """One address of the record. `sends_to` are the URIs that reports go to: empty if it may get none."""

    uri: str
    host: str
    sends_to: tuple[str, ...]
    words: str


def report_receivers(domain: str, record: DmarcRecord, tag: str = "rua") -> Asking[tuple[Receiver, ...]]:
    """What becomes of each address in rua (or ruf) of the record that stands at `domain`. Only mailto: is known.

    Raises NoAnswer if the DNS does not answer.
    """
    uris = [(uri, host) for uri in getattr(record, tag) if (host := domain_name(mail_domain(uri) or ""))]
    receivers = []
    own = (yield from organizational_domain_of(domain)) if uris else ""
    for uri, host in uris[:MOST_RECEIVERS]:
        other = yield from organizational_domain_of(host)
        if other == own:
            receivers.append(Receiver(uri, host, (uri,), f"{host} is of the same organization, {own}"))
        else:
            receivers.append((yield from _consent(domain, uri, host, tag)))
    return tuple(receivers)


def consent_name(domain: str, host: str) -> str:
    """Where another organization says that it wants the reports on a domain."""
    return f"{domain}._report._dmarc.{host}"


def _consent(domain: str, uri: str, host: str, tag: str) -> Asking[Receiver]:
    """Ask the other organization. Raises NoAnswer."""
    name = consent_name(domain, host)
    if len(name) > LONGEST_NAME:
        return Receiver(uri, host, (), f"{host} cannot have agreed: the name for that is too long")
    answer = yield from ask(TextOf(name))
    if answer.outcome.is_temporary:
        raise NoAnswer(name)
    records = [record for record in map(read_record, answer.records) if record is not None]
    if not records:
        return Receiver(
            uri, host, (), f"{host} is another organization and has not agreed: nothing at {name}"
        )
    instead = tuple(address for record in records for address in getattr(record, tag))
    if not instead:
        return Receiver(uri, host, (uri,), f"{host} agreed by a record at {name}")
    if any(domain_name(mail_domain(address) or "") != host for address in instead):
        return Receiver(uri, host, (), f"the record at {name} names another host: nothing is sent")
    return Receiver(uri, host, instead[:MOST_RECEIVERS], f"{host} agreed, and named another address")
