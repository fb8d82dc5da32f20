"""The fields of a scenario file, in one table: the reader knows these, and docs/scenarios.md is made of them.

READ NEXT  scenario_file.py
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One field. `section` is where it stands; `needed`: a file without it is refused."""

    section: str
    name: str
    kind: str
    effect: str
    needed: bool = False


FIELDS: tuple[Row, ...] = (
    Row("scenario", "title", "text", "what the world is called", True),
    Row("scenario", "about", "lines", "for whom reads the file: what it shows"),
    Row("scenario", "parameters", "mapping", "values that `World.open(name, st=7)` can set, with what they are else"),
    Row("scenario", "values", "mapping", "more values, made of those above: `{name}` stands for one everywhere below"),
    Row("scenario", "hosts", "list", "the hosts that run an MTA", True),
    Row("scenario", "laptops", "list", "the machines with a mail program and no MTA"),
    Row("scenario", "zones", "list", "what the nameserver knows; the root and reverse zones are made by themselves"),
    Row("scenario", "faults", "list", "what is broken from the beginning"),
    Row("scenario", "agenda", "list", "what happens by itself, in lab time"),
    Row("host", "name", "host name", "its name, which must stand in a zone with its address", True),
    Row("host", "address", "IPv4 address", "its address, as on the internet", True),
    Row("host", "role", "text", "`student` is `world.mine`, `partner` `world.partner`: the first two hosts"),
    Row("host", "accounts", "list of logins", "who has an account; at a host outside, who has a mailbox"),
    Row("host", "engine", "labkit, exim, or a kind", "what it runs, if whoever opens the world says nothing: labkit. "
        "Nobody's Exim are `outside`, `relay`, `provider`, `list`, `impostor` and `middle`"),
    Row("host", "configuration", "lines, or a name", "its exim.conf after `|`, or the name of a template"),
    Row("host", "values", "mapping", "for the template, beside `host` and `domain` (its name without the first label)"),
    Row("host", "certified", "good, or what is bad", "of a host with an exim.conf: the lab's authority has given it a "
        "certificate, which lies with its key in /etc/ssl/host.pem; or `self-signed`, `expired`, `wrong name`"),
    Row("host", "aliases", "lines", "its /etc/aliases"),
    Row("host", "files", "mapping", "other files on its disk: `/etc/virtual/a.test: |` and their lines"),
    Row("host", "domains", "list of domains", "of a host outside, of whatever kind: for which domains it takes mail"),
    Row("host", "queue_interval", "15m, 1h, never", "between its queue runs; `never` is a daemon without -q"),
    Row("host", "starts", "yes, no", "whether it is up when the world begins; yes"),
    Row("host", "customers", "list", "of a relay: who may send by it"),
    Row("host", "demands", "list of words", "of a provider: `ptr`, `tls`, `authentication`, `alignment`; who does not "
        "meet them is refused"),
    Row("host", "trusts", "list of domains", "of a provider: whose ARC seals it believes"),
    Row("host", "rate", "number", "of a provider: how many messages an hour it takes from one address; 0 is any"),
    Row("host", "lists", "list", "of a mailing list host: its lists"),
    Row("host", "poses_as", "a host", "of an impostor: whose name it greets with"),
    Row("host", "keeps_plaintext", "yes, no", "of a relay or provider: a defect, commands sent before the "
        "handshake are obeyed inside of TLS; no"),
    Row("host", "stands_before", "a host", "of a middle: the server to which it passes everything on"),
    Row("host", "account", "list", "of a middle: its own address at that server, and perhaps its login and password"),
    Row("host", "certificate", "good, or what is bad", "of the last five: `self-signed`, `expired`, `wrong name`"),
    Row("host", "mta_sts", "mapping", "the MTA-STS policy that its domain publishes: `{mode: enforce, mx: [a.test], "
        "max_age: 604800, fault: \"\"}`; without mx: its mail exchangers"),
    Row("customer", "login", "text", "the name for AUTH", True),
    Row("customer", "password", "text", "the password: a dummy, as everybody can read this file", True),
    Row("customer", "domains", "list of domains", "from which the customer sends, as soon as each is verified", True),
    Row("customer", "quota", "number", "messages in 24 hours; 200"),
    Row("customer", "bounces_to", "a word", "where reports go: `sender` (the envelope sender stays as it is), "
        "`subdomain` (bounce.DOMAIN), `relay` (a domain of the relay)"),
    Row("list", "name", "text", "the local part of its address", True),
    Row("list", "members", "list of addresses", "to whom it sends", True),
    Row("list", "mode", "a word", "`plain` (prefix and footer), `munge` (From: is the list's), `arc` (and a seal), "
        "`untouched`"),
    Row("list", "footer", "text", "the line below each message"),
    Row("laptop", "name", "host name", "its name, which must stand in a zone with its address", True),
    Row("laptop", "address", "IPv4 address", "its address", True),
    Row("laptop", "owner", "address", "the mail address of who sits there", True),
    Row("laptop", "mail_host", "a host", "to which MTA it hands its mail", True),
    Row("laptop", "role", "text", "`student` is `world.laptop`, `partner` is `world.partner_laptop`"),
    Row("zone", "origin", "domain", "the name of the zone", True),
    Row("zone", "text", "lines", "a BIND master file", True),
    Row("zone", "signed", "yes, no", "whether it is signed (DNSSEC), as all zones above it are; no"),
    Row("fault", "place", "a host, or a name", "what is broken", True),
    Row("fault", "fault", "a kind", "how: see the table of faults", True),
    Row("fault", "at", "a phase", "for `drops`, `answers` and `slow`"),
    Row("fault", "code", "number", "for `answers`"),
    Row("fault", "text", "text", "for `answers`: the words of the reply"),
    Row("fault", "seconds", "number", "for `slow`"),
    Row("fault", "after", "number", "for `busy`"),
    Row("fault", "port", "number", "for `blocked`; 25"),
    Row("line", "at", "time", "`+2h` after the beginning, or `day 2 10:00`", True),
    Row("letter", "from", "address", "the sender of the envelope", True),
    Row("letter", "to", "list of addresses", "the recipients", True),
    Row("letter", "by", "a laptop or host", "who hands it in", True),
    Row("letter", "subject", "text", "its subject"),
    Row("letter", "text", "lines", "what it says"),
)  # fmt: skip


def names(section: str) -> tuple[str, ...]:
    """The fields of a section, in order."""
    return tuple(row.name for row in FIELDS if row.section == section)
