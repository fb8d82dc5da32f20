"""TLSA records for the lab: made from a certificate, and written into the zone of the host that shows it.

WHAT       `publish_tlsa(world, "mx.bigmail.test")` adds `_25._tcp.mx.bigmail.test. IN TLSA 3 1 1 …` to the zone, for
           the certificate that this host shows; `tlsa_line` makes the line, for any certificate in PEM.
RULES      whether anybody may believe the record is up to the zone: `signed: yes` in a scenario, `world.sign_zone`.
STANDARDS  RFC 6698 §2.2 (how a master file has it), §3 (the name); RFC 7672 §3.1 (3 1 1 is best, then 2 0 1)
LIKE       openssl x509 -in tls.crt -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum
READ NEXT  dane_trials.py; labkit/auth/dane.py
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from labkit.auth.dane import record_for

if TYPE_CHECKING:
    from labkit.lab.world import World

DANE_TA, DANE_EE = 2, 3
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def tlsa_line(
    host: str, pem: str, usage: int = DANE_EE, selector: int = 1, matching: int = 1, *, port: int = 25
) -> str:
    """The line for a master file. `pem`: a chain, the host's own certificate first; DANE-TA names the last one in it.

    Raises ValueError for what is no certificate, and for numbers that are no use for mail.
    """
    shown = [part.partition(_END)[0] for part in pem.split(_BEGIN)[1:]]
    if not shown:
        raise ValueError("there is no certificate in this text: it begins with " + _BEGIN)
    chosen = shown[-1] if usage == DANE_TA else shown[0]
    record = record_for(ssl.PEM_cert_to_DER_cert(f"{_BEGIN}{chosen}{_END}"), usage, selector, matching)
    return f"_{port}._tcp.{host}. IN TLSA {record}"


def publish_tlsa(
    world: World, host: str, usage: int = DANE_EE, selector: int = 1, matching: int = 1, *, pem: str = ""
) -> str:
    """Add a record for port 25 of a host to its zone, and return the line; one that is there already stays.

    `pem` "": the certificate that the lab's authority has given to the host. Raises KeyError for a host that there is
    not, ValueError as `tlsa_line` does.
    """
    import dns.name

    name = world.host(host).name
    chain = pem or world.authority.certificate_for(name).read_text(encoding="ascii")
    line = tlsa_line(name, chain, usage, selector, matching)
    zone = world.zones.find(dns.name.from_text(name))
    assert zone is not None, "a world's hosts stand in its zones"
    origin = zone.origin.to_text(omit_final_dot=True)
    world.write_zone(origin, f"{zone.text.rstrip()}\n{line}\n")
    return line
