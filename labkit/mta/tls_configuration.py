"""Find out what is wrong with the TLS of a configuration when it is read, and not when the first client calls.

WHAT       `tls_problems(configuration, disk)`: each a ConfigurationError with the line that names the file.
DECIDES    what can be known: a file that a text names without asking anything about the client. Where the name depends
           on the client (on $tls_in_sni, say) nothing is said.
READ NEXT  server_tls.py, tls_doubts.py
"""

from __future__ import annotations

from collections.abc import Iterator

from labkit.eximconf.configuration import Configuration
from labkit.eximconf.expansion import Compiled
from labkit.eximconf.place import ConfigurationError, Place
from labkit.mta.server_tls import ONE_KEY_EACH, pairs, path_on, written
from labkit.net.disk import Disk
from labkit.net.tls_contexts import TlsUnusable, check_ciphers


def tls_problems(configuration: Configuration, disk: Disk) -> Iterator[ConfigurationError]:
    """What is wrong with the files that the main section names for TLS, and with its list of ciphers."""
    main = configuration.main
    certificate, key = main.expansion("tls_certificate"), main.expansion("tls_privatekey")
    of_certificate = written(main, "tls_certificate")
    of_key = written(main, "tls_privatekey") or of_certificate
    name, key_name = known(certificate), known(key)
    if name and of_certificate is not None and of_key is not None and (key is None or key_name is not None):
        yield from _of_files(disk, name, key_name or "", of_certificate, of_key)
    elif not name and key_name and certificate is None and of_key is not None:
        problem = "there is a tls_privatekey, and no tls_certificate"
        yield ConfigurationError(of_key, problem, "name the certificate that belongs to it")
    ciphers, place = known(main.expansion("tls_require_ciphers")), written(main, "tls_require_ciphers")
    if ciphers and place is not None:
        try:
            check_ciphers(ciphers)
        except TlsUnusable as unusable:
            yield ConfigurationError(place, str(unusable), "leave the line out: what is usual is good")


def _of_files(
    disk: Disk, name: str, key_name: str, of_certificate: Place, of_key: Place
) -> Iterator[ConfigurationError]:
    """Of the files in both lists."""
    try:
        named = pairs(name, key_name)
    except TlsUnusable as unusable:
        yield ConfigurationError(of_key, str(unusable), ONE_KEY_EACH)
        return
    for each in named:
        yield from _of_pair(disk, *each, of_certificate, of_key)


def _of_pair(
    disk: Disk, name: str, key_name: str, of_certificate: Place, of_key: Place
) -> Iterator[ConfigurationError]:
    try:
        certificate = path_on(disk, name)
        key = path_on(disk, key_name) if key_name else None
    except TlsUnusable as unusable:
        yield ConfigurationError(of_certificate, str(unusable), "put the file there, or name another")
        return
    from labkit.net.tls_checks import faults  # loads cryptography: only where there is a certificate

    for fault in faults(certificate, key, name, key_name):
        place = of_key if fault.is_about_key else of_certificate
        yield ConfigurationError(place, fault.problem, fault.remedy)


def known(text: Compiled | None) -> str | None:
    """What a text is for every client; None if that cannot be known. An unset text is ""."""
    if text is None:
        return ""
    constant = text.code.constant
    return None if constant is None else constant.strip()
