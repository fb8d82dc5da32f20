"""What each message of a TLS handshake is for, and what one may be asked before one sees it.

WHAT       `meaning(name, version)`: a sentence and where the rule stands. `question_before(...)`: a prediction.
STANDARDS  RFC 8446 §2, §4; RFC 5246 §7.4; RFC 3207 §4; RFC 6066 §3
READ NEXT  handshake.py
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

FLIGHT = "EncryptedExtensions, Certificate, CertificateVerify, Finished"
MEANINGS = {
    "ClientHello": (
        "The client offers versions, ciphers and groups, and names the server it wants (SNI). All of it is in the "
        "clear.",
        "RFC 8446 §4.1.2; RFC 6066 §3",
    ),
    "HelloRetryRequest": (
        "The server knows no group that the client has sent a key for: once more, please.", "RFC 8446 §4.1.4"
    ),
    "ServerHello": ("The server chooses version, cipher and group.", "RFC 8446 §4.1.3"),
    "ChangeCipherSpec": ("", ""),
    "Certificate": (
        "The server's certificate and those that vouch for it. In TLS 1.2 everybody on the way reads them.",
        "RFC 5246 §7.4.2",
    ),
    "ServerKeyExchange": (
        "The server's half of the key, fresh for this connection, signed with the key of its certificate.",
        "RFC 5246 §7.4.3",
    ),
    "ServerHelloDone": ("That was all from the server for now.", "RFC 5246 §7.4.5"),
    "CertificateRequest": ("The server wants a certificate of the client, too.", "RFC 5246 §7.4.4"),
    "ClientKeyExchange": ("The client's half of the key. Who has seen both halves has nothing.", "RFC 5246 §7.4.7"),
    "NewSessionTicket": ("What the client may show to be quicker next time.", "RFC 5077 §3.3"),
    FLIGHT: (
        "Whose certificate it is, and the proof of having its key. From the ServerHello on all is encrypted.",
        "RFC 8446 §2",
    ),
    "Finished": ("Both have the same keys, and nobody has changed a message of the handshake.", "RFC 8446 §4.4.4"),
    "an alert": ("It is as small as an alert. Which one, only the two ends know.", "RFC 8446 §6"),
    "an alert, encrypted": ("Which alert it is, only the two ends know.", "RFC 5246 §7.2"),
    "application data": ("SMTP, encrypted: to everybody else a size and a time.", "RFC 8446 §5.2"),
}  # fmt: skip
ALERTS = {
    "close_notify": "it sends no more: nothing was cut off",
    "unexpected_message": "what came was no TLS, or not what was due",
    "handshake_failure": "there is no version, cipher or group that both know",
    "protocol_version": "no version that both speak: SSL 3, TLS 1.0 and 1.1 are not spoken any more (RFC 8996)",
    "bad_certificate": "the certificate is not believed: often its name is another",
    "certificate_expired": "the certificate's time is over",
    "unknown_ca": "nobody whom it trusts vouches for the certificate",
    "certificate_required": "the client has shown no certificate, and must",
    "no_renegotiation": "a second handshake in the same connection is refused",
    "unrecognized_name": "it knows no server of the name in SNI",
}


@dataclass(frozen=True, slots=True)
class Question:
    """A prediction: `choices[truth]` is right, and `because` says why."""

    asks: str
    choices: tuple[str, ...]
    truth: int
    because: str


def meaning(name: str) -> tuple[str, str]:
    """What a message is for, and where that stands; empty for what needs no words."""
    if name.startswith("alert "):
        which = name.removeprefix("alert ")
        return f"{ALERTS.get(which, 'something was wrong')}.".capitalize(), "RFC 8446 §6"
    return MEANINGS.get(name, ("", ""))


def question_before(name: str) -> Question | None:
    """What one may be asked before this message is shown."""
    if name not in _QUESTIONS:
        return None
    asks, right, *wrong, because = _QUESTIONS[name]
    choices = sorted((right, *wrong), key=lambda text: crc32(f"{name} {text}".encode()))
    return Question(asks, tuple(choices), choices.index(right), because)


_QUESTIONS = {
    "ClientHello": (
        "The client begins TLS. What of its first message can an eavesdropper read?",
        "all of it, even the name of the server it wants",
        "only that it is TLS",
        "all but the name of the server",
        "There is no key yet that it could be encrypted with; the name (SNI) is said before there is one.",
    ),
    FLIGHT: (
        "Now the server shows its certificate, in TLS 1.3. Who can read it?",
        "only the client",
        "everybody on the way",
        "nobody, until the mail is sent",
        "With the ServerHello both have a key, so the certificate is encrypted already.",
    ),
    "Certificate": (
        "Now the server shows its certificate, in TLS 1.2. Who can read it?",
        "everybody on the way",
        "only the client",
        "nobody, until the mail is sent",
        "In TLS 1.2 the keys come after the certificate.",
    ),
    "application data": (
        "The client says EHLO once more. What does an eavesdropper see of it?",
        "that octets went by: how many, and when",
        "the word EHLO, and the client's name",
        "nothing at all",
        "What is inside is encrypted; sizes and times cannot be.",
    ),
}
