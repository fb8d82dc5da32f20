"""What is known of an encrypted connection, once its handshake is done.

STANDARDS  RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2); Exim specification, chapter "Encrypted SMTP connections"
READ NEXT  event.py
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Encryption:
    """TLS as one end sees it.

    `version` as Exim writes it ("TLS1.3"); `cipher` by its standard name ("TLS_AES_256_GCM_SHA384"); `bits` of its
    key; `is_verified`: the other end's certificate is good; `peer_name`: its subject, "" without one;
    `server_name`: SNI, "" if none was said.
    """

    version: str
    cipher: str
    bits: int
    is_verified: bool = False
    peer_name: str = ""
    server_name: str = ""

    @property
    def shown(self) -> str:
        """As Exim's log has it after X=, and $tls_in_cipher: `TLS1.3:TLS_AES_256_GCM_SHA384:256`."""
        return f"{self.version}:{self.cipher}:{self.bits}"

    def in_log(self, selectors: Container[str]) -> str:
        """The fields of a log line, as far as log_selector wants them; each with a blank before it."""
        return in_log(self.shown, self.is_verified, self.peer_name, self.server_name, selectors)


def in_log(
    cipher: str | None,
    is_verified: bool | None,
    peer_name: str | None,
    server_name: str | None,
    selectors: Container[str],
    is_dane: bool | None = False,
) -> str:
    """` X=… CV=… DN="…" SNI=…`; nothing of a connection in the clear (`cipher` is None)."""
    if cipher is None:
        return ""
    line = f" X={cipher}" if "tls_cipher" in selectors else ""
    verified = "dane" if is_dane else "yes" if is_verified else "no"
    line += f" CV={verified}" if "tls_certificate_verified" in selectors else ""
    line += f' DN="{peer_name}"' if peer_name and "tls_peerdn" in selectors else ""
    return line + (f" SNI={server_name}" if server_name and "tls_sni" in selectors else "")
