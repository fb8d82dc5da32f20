"""The cast of the stream: who writes to the student's host, honest and not, each with what its kind is known for.

WHAT       `cast(own, host)` gives the senders; `zones(senders, …)` what the DNS says of them.
HONEST     a small firm; a provider that retries from another address of the same /24; one that does so from anywhere; a
           newsletter; a host without PTR; one with a wrong HELO name; a shop that never tries again; a forwarder (SPF
           fails); a mailing list (it breaks signatures); a host that is on the block list by mistake.
SPAM       the bot that fires and forgets: HELO with your name or with a bare address, generic PTR or none, no patience;
           the bot that comes again after 10 minutes; snowshoe: many addresses, few messages each, valid SPF; a stolen
           account at a good provider; a spoofer of the bank and of your own domain; a guesser of recipients.
RULES      all names are under .test (RFC 2606); all addresses in 198.18.0.0/15 (RFC 2544).
READ NEXT  traffic_plan.py
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from labkit.lab.traffic_senders import NEVER, Manner, Sender

ZONE = "198.18"
SELECTOR = "s1"
EVERY_TEN = tuple(float(minutes) for minutes in range(10, 180, 10))
GROWING = (2.0, 7.0, 17.0, 37.0, 77.0, 157.0, 317.0, 637.0)  # a provider's: soon, then later and later
BANK = "bank.test"
GENERIC = "dyn-{dashed}.pool.isp.test"
HONEST_KINDS = (
    "small firm", "provider, one /24", "provider, anywhere", "newsletter", "no PTR", "wrong HELO", "shop, no retry",
    "forwarder", "mailing list", "listed by mistake",
)  # fmt: skip
SPAM_KINDS = (
    "bot: own name", "bot: bare address", "bot: talks first", "retrying bot", "snowshoe", "stolen account",
    "spoofs the bank", "spoofs us", "guesser",
)  # fmt: skip


def net(third: int, count: int, first: int = 1) -> tuple[str, ...]:
    """So many addresses of 198.18.`third`.0/24."""
    return tuple(f"{ZONE}.{third}.{first + number}" for number in range(count))


def spread(fourth: int, count: int) -> tuple[str, ...]:
    """So many addresses, each in a /24 of its own: machines all over the world."""
    return tuple(f"{ZONE}.{100 + number}.{fourth}" for number in range(count))


def cast(own: str, host: str) -> tuple[Sender, ...]:
    """Everybody who sends to `host`, the exchanger of the domain `own`."""
    return (*honest(), *spammers(own, host))


def honest() -> tuple[Sender, ...]:
    anywhere = tuple(address for third in (22, 23, 24, 25) for address in net(third, 3))
    return (
        *_firms(),
        Sender("provider, one /24", False, net(21, 8), "bigmail.test", "out-{dashed}.bigmail.test",
               "out-{dashed}.bigmail.test",
               people=("carol", "dave", "erin", "frank"), manner=Manner(GROWING, moves=True, pipelines=True),
               signs="bigmail.test"),
        Sender("provider, anywhere", False, anywhere, "cloudpost.test", "o{dashed}.cloudpost.test",
               "o{dashed}.cloudpost.test", people=("grace", "heidi", "ivan"),
               manner=Manner(GROWING, moves=True, pipelines=True), signs="cloudpost.test"),
        Sender("newsletter", False, net(31, 1), "reading.test", "mail.reading.test", "mail.reading.test",
               people=("news",), manner=Manner((30.0, 60.0, 120.0, 240.0), pipelines=True),
               signs="reading.test", burst_at=150.0),
        Sender("no PTR", False, net(32, 1), "school.test", "mail.school.test", people=("teacher", "office")),
        Sender("wrong HELO", False, net(33, 1), "garage.test", "localhost.localdomain", "mail.garage.test",
               people=("service",)),
        Sender("shop, no retry", False, net(34, 1), "shop.test", "www.shop.test", "www.shop.test",
               people=("orders",), manner=Manner(NEVER)),
        Sender("forwarder", False, net(35, 1), "bigmail.test", "relay.alumni.test", "relay.alumni.test",
               people=("carol", "judy"), signs="bigmail.test"),
        Sender("mailing list", False, net(36, 1), "strict.test", "lists.club.test", "lists.club.test",
               bounces="lists.club.test", people=("mike", "nina"), signs="strict.test", breaks_signatures=True),
        Sender("listed by mistake", False, net(37, 1), "dentist.test", "mail.dentist.test",
               "mail.dentist.test",
               people=("desk",), listed_after=0.0, reason="spam trap hit, last year"),
    )  # fmt: skip


def _firms() -> Iterable[Sender]:
    for number, domain in enumerate(("bakery.test", "printer.test", "lawyer.test"), start=1):
        name = f"mx.{domain}"
        yield Sender("small firm", False, net(10 + number, 1), domain, name, name, people=("ann", "bert"))


def spammers(own: str, host: str) -> tuple[Sender, ...]:
    bot = Manner(NEVER, patience=10.0)
    hasty = Manner(NEVER, patience=10.0, talks_first=True)
    return (
        Sender("bot: own name", True, spread(61, 24), "winner.test", host, GENERIC, forward=False, people=("prize",
               "lucky"),
               manner=bot, listed_after=0.0, reason="infected machine", has_message_id=False),
        Sender("bot: bare address", True, spread(62, 16), "pills.test", "{address}", people=("doctor",
               "shop"),
               manner=bot, listed_after=60.0, reason="infected machine", has_message_id=False),
        Sender("bot: talks first", True, spread(63, 12), "loans.test", GENERIC, GENERIC, people=("credit",),
               manner=hasty, has_message_id=False),
        Sender("retrying bot", True, net(64, 6), "watches.test", "mail.watches.test", GENERIC,
               people=("sales", "offer"), manner=Manner(EVERY_TEN, patience=60.0), listed_after=30.0,
               reason="sends to spam traps"),
        Sender("snowshoe", True, net(65, 25), "deals.test", "m{dashed}.deals.test", "m{dashed}.deals.test",
               people=("best",), manner=Manner(EVERY_TEN, moves=False, patience=120.0), signs="deals.test",
               listed_after=60.0, reason="snowshoe range"),
        Sender("stolen account", True, net(21, 8), "bigmail.test", "out-{dashed}.bigmail.test",
               "out-{dashed}.bigmail.test",
               people=("victim",), manner=Manner(GROWING, moves=True, pipelines=True), signs="bigmail.test"),
        Sender("spoofs the bank", True, net(66, 4), BANK, "mail.bank.test", people=("service", "security"),
               manner=Manner(EVERY_TEN, patience=60.0)),
        Sender("spoofs us", True, net(67, 4), own, "host-{dashed}.isp.test", "host-{dashed}.isp.test",
               people=("office", "ann"), manner=bot),
        Sender("guesser", True, net(68, 3), "leads.test", "mail.leads.test", "mail.leads.test",
               people=("b2b",),
               manner=Manner(NEVER, patience=30.0), recipients=9, unknown=True),
    )  # fmt: skip


# --- what the DNS says of them --------------------------------------------------------------------------


def zones(senders: Sequence[Sender], keys: Mapping[str, str]) -> list[tuple[str, str]]:
    """The zones test (everybody's domains, in one to be short) and 18.198.in-addr.arpa.

    `keys`: the DKIM record of each domain that signs.
    """
    names: dict[str, None] = {}
    pointers: dict[str, None] = {}
    for sender in senders:
        for address in sender.addresses:
            if sender.names:
                name = sender.name(sender.names, address)
                third, fourth = address.split(".")[2:]
                pointers[f"{fourth}.{third} IN PTR {name}."] = None
                if sender.forward:
                    names[f"{name}. IN A {address}"] = None
    for domain, policy in POLICIES.items():
        sources = sorted(
            {a.rpartition(".")[0] for each in senders for a in each.addresses if _owns(each, domain)}
        )
        allowed = " ".join(f"ip4:{network}.0/24" for network in sources)
        names[f'{domain}. IN TXT "{" ".join(filter(None, ("v=spf1", allowed, "-all")))}"'] = None
        names[f"{domain}. IN MX 10 mx.{domain}."] = None
        if policy:
            names[f'_dmarc.{domain}. IN TXT "v=DMARC1; p={policy}"'] = None
    for domain, record in keys.items():
        cut = " ".join(f'"{record[at : at + 250]}"' for at in range(0, len(record), 250))
        names[f"{SELECTOR}._domainkey.{domain}. IN TXT {cut}"] = None
    soa = "@ IN SOA ns.root. hostmaster.root. ( 1 7200 900 1209600 300 )\n  IN NS ns.root."
    return [
        ("test", "\n".join(["$TTL 3600", soa, *names, ""])),
        ("18.198.in-addr.arpa", "\n".join(["$TTL 3600", soa, *pointers, ""])),
    ]


# Who publishes an SPF record (always with -all), and the policy of its DMARC record, "" for none.
POLICIES = {
    "bakery.test": "", "printer.test": "none", "bigmail.test": "quarantine", "cloudpost.test": "reject",
    "reading.test": "none", "shop.test": "", "strict.test": "reject", "deals.test": "none", BANK: "reject",
    "lists.club.test": "", "dentist.test": "", "school.test": "",
}  # fmt: skip
_ELSEWHERE = frozenset({"forwarder", "mailing list", "spoofs the bank"})  # not from where the domain says


def _owns(sender: Sender, domain: str) -> bool:
    return (sender.bounces or sender.domain) == domain and (
        sender.kind not in _ELSEWHERE or bool(sender.bounces)
    )
