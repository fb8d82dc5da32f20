"""TLS as a layer between a machine that speaks SMTP and whatever carries its octets.

WHAT       `TlsLayer`: ciphertext in, plain text out, and the other way round. It knows no transport, so it is
           the same on loopback, in memory, and one line at a time. tls_contexts.py makes the contexts that it needs.
DOES       the handshake; says what was agreed (`encryption`); hands out the alert of a failure.
FAST       the package cryptography is loaded when there is a certificate to look at, here and in the modules below.
RULES      who gets TlsFailure sends `bytes_to_send()` (the alert) and closes the connection: nothing more can come.
           What is sent before the handshake is done waits for it.
STANDARDS  RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2), RFC 8446 §6.1 (close_notify)
READ NEXT  tls_contexts.py, tls_trust.py
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress

from labkit.mail.encryption import Encryption
from labkit.net.tls_names import standard_name, version_name

CHUNK = 64 * 1024  # octets of plain text that are taken out of the layer at once
ALERT = bytes.fromhex("1503030002020a")  # fatal: unexpected message
MOST_WAITING = 1024 * 1024  # octets of plain text that may wait for the handshake

Judge = Callable[
    [tuple[bytes, ...]], str
]  # the other end's certificates (DER) -> what is wrong with them, or ""


class TlsFailure(ConnectionError):
    """The handshake failed, or what came later is not what the other end sent. The text says why.

    `of_certificate`: the other end's certificate was not believed.
    """

    def __init__(self, words: str, *, of_certificate: bool = False) -> None:
        super().__init__(words)
        self.words = words
        self.of_certificate = of_certificate


class TlsLayer:
    """One end of one connection.

    `server_name`: what a client asks for (SNI), and the name that a checking context wants in the certificate; a server
    knows it when the handshake is done. `judge` looks at certificates that the context lets pass unchecked: a verdict
    that says nothing makes the connection `is_verified`.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_name: str = "",
        judge: Judge | None = None,
    ) -> None:
        self._server_side = server_side
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server_side else server_name or None
        self._tls = context.wrap_bio(self._in, self._out, server_side=server_side, server_hostname=name)
        self._checks = context.verify_mode is not ssl.CERT_NONE
        self._judge = judge
        self._server_name = server_name
        self._waiting = bytearray()
        self._encryption: Encryption | None = None
        self.judgement = ""  # what `judge` found wrong
        self.is_ended = False  # the other end has said that it sends no more
        self.is_closed = False
        if not server_side:
            self._shake_hands()  # a client speaks first

    @property
    def is_ready(self) -> bool:
        """The handshake is done."""
        return self._encryption is not None

    @property
    def encryption(self) -> Encryption:
        """What was agreed. Raises RuntimeError before the handshake is done."""
        if self._encryption is None:
            raise RuntimeError("the handshake is not done yet")
        return self._encryption

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """What the other end has shown, its own certificate first, each as DER; nothing if it showed none."""
        own = self._tls.getpeercert(binary_form=True)
        if own is None:
            return ()
        return (own, *[each for each in _chain(self._tls) if each != own])

    def receive(self, octets: bytes | bytearray | memoryview) -> bytes:
        """Take ciphertext; returns the plain text that it completes. Raises TlsFailure."""
        if self.is_closed:
            return b""
        self._in.write(octets)
        if not self.is_ready and not self._shake_hands():
            return b""
        found = bytearray()
        try:
            while chunk := self._tls.read(CHUNK):
                found += chunk
            self.is_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.is_ended = True
        except ssl.SSLError as problem:
            raise self._failure(problem) from problem
        return bytes(found)

    def end_of_file(self) -> None:
        """The connection's other end is gone. Raises TlsFailure in the middle of a handshake."""
        self._in.write_eof()
        if not self.is_ready and not self.is_closed:
            self.is_closed = True
            raise TlsFailure("the connection was closed in the middle of the handshake")
        self.is_ended = True

    def send(self, octets: bytes | bytearray | memoryview) -> None:
        """Encrypt plain text; what is said before the handshake is done goes out after it. Raises TlsFailure."""
        if self.is_closed or not octets:
            return
        if not self.is_ready:
            self._waiting += octets
            if len(self._waiting) > MOST_WAITING:
                raise TlsFailure("too much was said before the handshake was done")
            return
        try:
            self._tls.write(octets)
        except ssl.SSLError as problem:
            raise self._failure(problem) from problem

    def bytes_to_send(self) -> bytes:
        """The ciphertext that goes to the other end now; it is handed out once."""
        return self._out.read()

    def close(self) -> None:
        """Say that no more will come (close_notify); what was sent before is still handed out."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.is_ready:
            with suppress(ssl.SSLError):  # the other end's own close_notify is nothing to wait for
                self._tls.unwrap()

    def _shake_hands(self) -> bool:
        """Go on with the handshake. True: it is done. Raises TlsFailure."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as problem:
            raise self._failure(problem) from problem
        except ValueError as problem:  # a name in SNI that is none
            self.is_closed = True
            raise TlsFailure(f"the handshake failed: {problem}") from problem
        self._encryption = self._agreed()
        if self._waiting:
            self._tls.write(self._waiting)
            self._waiting.clear()
        return True

    def _agreed(self) -> Encryption:
        name, protocol, bits = self._tls.cipher() or ("", "", 0)
        shown = self.certificates
        is_verified = bool(shown) and self._checks
        if shown and not self._checks and self._judge is not None:
            self.judgement = self._judge(shown)
            is_verified = not self.judgement
        return Encryption(
            version=version_name(self._tls.version() or protocol),
            cipher=standard_name(name),
            bits=bits,
            is_verified=is_verified,
            peer_name=_subject(shown[0]) if shown else "",
            server_name=getattr(self._tls, SAID_NAME, "") or self._server_name,
        )

    def _failure(self, problem: ssl.SSLError) -> TlsFailure:
        self.is_closed = True
        if self._server_side and not self.is_ready and not self._out.pending:
            self._out.write(ALERT)  # to what is no TLS, OpenSSL says nothing
        if isinstance(problem, ssl.SSLCertVerificationError):
            return TlsFailure(
                f"certificate verification failed: {problem.verify_message}", of_certificate=True
            )
        reason = (problem.reason or str(problem)).replace("_", " ").lower()
        of_certificate = "certificate" in reason
        return TlsFailure(reason, of_certificate=of_certificate)


SAID_NAME = "labkit_said_name"  # where a server's SSLObject remembers what the client asked for


def remember_name(tls: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
    """An SSLContext's `sni_callback`."""
    setattr(tls, SAID_NAME, name or "")


def _chain(tls: ssl.SSLObject) -> list[bytes]:
    """All certificates that were shown, as they came."""
    public = getattr(tls, "get_unverified_chain", None)  # Python 3.13
    if public is not None:
        return [bytes(each) for each in public() or ()]
    inner = getattr(tls, "_sslobj", None)
    shown = getattr(inner, "get_unverified_chain", None)
    if shown is None:
        return []
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in shown() or ()]


def _subject(certificate: bytes) -> str:
    """The subject as GnuTLS, and so Exim, writes it: RFC 4514."""
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(certificate).subject.rfc4514_string()
    except ValueError:
        return ""
