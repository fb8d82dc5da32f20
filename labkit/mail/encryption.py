"""What is known of an encrypted connection, once its handshake is done.

STANDARDS  RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2); Exim specification, chapter "Encrypted SMTP connections"
READ NEXT  event.py
"""

from __future__ import annotations

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
