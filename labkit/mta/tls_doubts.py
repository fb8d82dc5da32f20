"""What a TLS configuration is allowed to say, and hardly means: told when it is read, as a doubt.

WHAT       `port_doubts(main)`: of the settings alone. `file_doubts(configuration, disk, name)`: of the certificate.
DECIDES    465 in one of the two lists of ports only; a certificate and nobody to whom TLS is offered; a certificate
           for other names than the host's; a chain that is in no order. `thorough` (labkit lint): also a certificate
           whose authority is not in the file, which is right if that is a root, and wrong if it is not.
STANDARDS  RFC 8314 §3.3 (465); RFC 9525 (names); RFC 5246 §7.4.2 (order of a chain; RFC 8446 §4.4.2 is milder);
           Exim specification, section "Support for the submissions (aka SSMTP and SMTPS) protocol"
READ NEXT  tls_configuration.py
"""

from __future__ import annotations

from collections.abc import Iterator

from labkit.eximconf.configuration import Configuration, Options
from labkit.eximconf.lists import split_list
from labkit.eximconf.place import ConfigurationError
from labkit.mta.server_tls import path_on, written
from labkit.mta.tls_configuration import known
from labkit.net.disk import Disk
from labkit.net.tls_contexts import TlsUnusable

SUBMISSIONS = 465


def port_doubts(main: Options) -> Iterator[ConfigurationError]:
    """Of the main section's settings."""
    listens, at_once = main.ports("daemon_smtp_ports"), main.values.get("tls_on_connect_ports") or ()
    place = written(main, "tls_on_connect_ports")
    unheard = [port for port in at_once if port not in listens]
    if place is not None and unheard and not main.has("local_interfaces"):
        ports = " : ".join(str(port) for port in (*listens, *unheard))
        problem = f"TLS begins at once on port {unheard[0]}, and the daemon does not listen there"
        yield ConfigurationError(
            place, problem, f"tls_on_connect_ports opens no port: daemon_smtp_ports = {ports}"
        )
    place = written(main, "daemon_smtp_ports")
    if place is not None and SUBMISSIONS in listens and SUBMISSIONS not in at_once:
        problem = (
            f"port {SUBMISSIONS} begins with a banner in the clear, and its clients begin with TLS: both wait"
        )
        yield ConfigurationError(place, problem, f"tls_on_connect_ports = {SUBMISSIONS} (RFC 8314 §3.3)")
    place, advertise = written(main, "tls_certificate"), written(main, "tls_advertise_hosts")
    is_empty = advertise is not None and not _text(main, "tls_advertise_hosts")
    if place is not None and is_empty and not at_once:
        problem = "there is a certificate, and tls_advertise_hosts is empty: STARTTLS is offered to nobody"
        yield ConfigurationError(place, problem, "tls_advertise_hosts = *, as it is without the line")


def _text(main: Options, name: str) -> str:
    """The setting as it is written."""
    return next(((setting.value or "").strip() for row, setting in main.written if row.name == name), "")


def file_doubts(
    configuration: Configuration, disk: Disk, host_name: str, *, thorough: bool = False
) -> Iterator[ConfigurationError]:
    """Of the certificates, if their files are known and can be read; what is wrong, tls_configuration says."""
    main = configuration.main
    place, name = written(main, "tls_certificate"), known(main.expansion("tls_certificate"))
    if place is None or not name:
        return
    from labkit.net.tls_checks import chain_doubts, name_doubt  # loads cryptography: only where there is one

    try:
        files = [(path_on(disk, each), each) for each in split_list(name)]
        found = [fault for path, each in files for fault in chain_doubts(path, each, thorough=thorough)]
        doubts = [name_doubt(path, each, host_name) for path, each in files] if host_name else []
    except (TlsUnusable, OSError, ValueError):
        return
    if doubts and all(doubts):  # one of several may be for another name
        found += doubts[0]
    for fault in found:
        yield ConfigurationError(place, fault.problem, fault.remedy)
