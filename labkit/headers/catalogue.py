"""What header fields there are: kind, who writes them, the RFC's section, and a sentence for each.

WHAT       `entry_of("List-Id")` -> Entry. A name that nobody registered is known by its beginning (X-Spam-, ARC-,
           Resent-), or is unknown.
RULES      1. One sentence, for somebody who has never read a header. Nothing false to make it simple.
           2. `most` is how often RFC 5322 §3.6 (or the field's own RFC) allows it; 0: any number.
STANDARDS  each entry names its own
READ NEXT  dissect.py
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from labkit.headers.values import Kind, Writer


@dataclass(frozen=True, slots=True)
class Entry:
    kind: Kind
    writer: Writer
    rfc: str
    words: str
    most: int = 0


_W, _K = Writer, Kind
_TRACE, _IDENTITY, _TO, _DATE, _MIME = _K.TRACE, _K.IDENTITY, _K.DESTINATION, _K.DATE, _K.MIME
_LIST, _RESENT, _AUTH, _SPAM, _DELIVERY, _REPORT = (
    _K.LIST, _K.RESENT, _K.AUTHENTICATION, _K.SPAM, _K.DELIVERY, _K.REPORT,
)  # fmt: skip
_E = Entry

FIELDS: dict[str, Entry] = {
    # --- the way --------------------------------------------------------------------------------
    "received": _E(
        _TRACE, _W.MTA, "RFC 5321 §4.4",
        "One hop; each MTA puts its own on top, so the oldest is at the bottom.",
    ),
    "x-received": _E(
        _TRACE, _W.MTA, "",
        "A hop inside a provider's own network, noted apart from the Received fields.",
    ),
    "return-path": _E(
        _TRACE, _W.FINAL, "RFC 5321 §4.4",
        "The envelope's sender, written down at final delivery.", 1,
    ),
    "envelope-to": _E(
        _DELIVERY, _W.FINAL, "",
        "The envelope's recipient, written down at final delivery.",
    ),
    "delivery-date": _E(
        _DELIVERY, _W.FINAL, "RFC 2076 §3.2", "When it went into the mailbox.",
    ),
    "delivered-to": _E(
        _DELIVERY, _W.FINAL, "RFC 9228",
        "The address it was delivered to; a server that sees its own entry again knows that the mail goes round.",
    ),
    "x-original-to": _E(
        _DELIVERY, _W.FINAL, "",
        "The envelope's recipient before aliases were applied; Postfix's own name for it.",
    ),
    "original-recipient": _E(
        _DELIVERY, _W.FINAL, "RFC 3798 §2.3", "The recipient that the sender's server named at first.",
    ),
    "x-envelope-from": _E(_DELIVERY, _W.FINAL, "", "The envelope's sender, as one server noted it."),
    "x-envelope-to": _E(_DELIVERY, _W.FINAL, "", "The envelope's recipient, as one server noted it."),
    "x-peer": _E(_TRACE, _W.MTA, "", "The address of the client that handed it over, as aiosmtpd notes it."),
    "x-originating-ip": _E(
        _TRACE, _W.SUBMISSION, "", "The address of the author's machine, as the submission server noted it.",
    ),
    "x-authenticated-sender": _E(
        _TRACE, _W.SUBMISSION, "", "Who had logged in at the submission server, as that server says.",
    ),
    "x-loop": _E(
        _TRACE, _W.AUTOMATON, "", "A program's own mark: if it meets it again, the mail has come back to it.",
    ),
    # --- whom it is from ------------------------------------------------------------------------
    "from": _E(
        _IDENTITY, _W.AUTHOR, "RFC 5322 §3.6.2",
        "Who the reader sees; nothing in SMTP checks it.", 1,
    ),
    "sender": _E(
        _IDENTITY, _W.PROGRAM, "RFC 5322 §3.6.2",
        "Who really sent it, if that is not the author: a secretary, or a mailing list.", 1,
    ),
    "reply-to": _E(
        _IDENTITY, _W.AUTHOR, "RFC 5322 §3.6.2", "Where answers go, if not to the address in From:.", 1,
    ),
    "message-id": _E(
        _IDENTITY, _W.PROGRAM, "RFC 5322 §3.6.4",
        "A name for this message, to find it in logs.", 1,
    ),
    "in-reply-to": _E(
        _IDENTITY, _W.PROGRAM, "RFC 5322 §3.6.4", "The Message-ID of the message that this one answers.", 1,
    ),
    "references": _E(
        _IDENTITY, _W.PROGRAM, "RFC 5322 §3.6.4", "The messages this one answers.", 1,
    ),
    "user-agent": _E(_IDENTITY, _W.PROGRAM, "RFC 5536 §3.2.13", "The program that it was written with."),
    "x-mailer": _E(_IDENTITY, _W.PROGRAM, "", "The program that it was written with, by its own account."),
    "organization": _E(_IDENTITY, _W.AUTHOR, "RFC 5536 §3.2.8", "The author's organisation; free text."),
    "autocrypt": _E(
        _IDENTITY, _W.PROGRAM, "", "The author's OpenPGP key for answers, as the author's program offers it.",
    ),
    # --- whom it is for -------------------------------------------------------------------------
    "to": _E(
        _TO, _W.AUTHOR, "RFC 5322 §3.6.3", "Who the reader sees; the envelope decides who gets it.", 1,
    ),
    "cc": _E(
        _TO, _W.AUTHOR, "RFC 5322 §3.6.3", "Who the reader sees.", 1,
    ),
    "bcc": _E(
        _TO, _W.AUTHOR, "RFC 5322 §3.6.3",
        "Secret recipients: this should have been taken out before the message was sent.", 1,
    ),
    # --- when and what --------------------------------------------------------------------------
    "date": _E(
        _DATE, _W.PROGRAM, "RFC 5322 §3.6.1", "When it was written, by that machine's clock.", 1,
    ),
    "subject": _E(_K.SUBJECT, _W.AUTHOR, "RFC 5322 §3.6.5", "Free text.", 1),
    "comments": _E(_K.SUBJECT, _W.AUTHOR, "RFC 5322 §3.6.5", "A remark: free text."),
    "keywords": _E(_K.SUBJECT, _W.AUTHOR, "RFC 5322 §3.6.5", "Words to find it by."),
    "importance": _E(_K.SUBJECT, _W.PROGRAM, "RFC 2156 §5.3.4", "How important the author thinks it is."),
    "priority": _E(_K.SUBJECT, _W.PROGRAM, "RFC 2156 §5.3.6", "How urgent the author thinks it is."),
    "x-priority": _E(_K.SUBJECT, _W.PROGRAM, "", "How urgent the author thinks it is: 1 is most, 5 least."),
    "sensitivity": _E(_K.SUBJECT, _W.PROGRAM, "RFC 2156 §5.3.4", "How private the author thinks it is."),
    "thread-topic": _E(_K.SUBJECT, _W.PROGRAM, "", "The conversation's first subject, as Outlook notes it."),
    "thread-index": _E(_K.SUBJECT, _W.PROGRAM, "", "The place in the conversation, as Outlook notes it."),
    "expires": _E(_DATE, _W.PROGRAM, "RFC 4021 §2.1.50", "When it will be of no use any more."),
    "deferred-delivery": _E(_DATE, _W.PROGRAM, "RFC 2156", "When the author wants it to be delivered."),
    # --- MIME -----------------------------------------------------------------------------------
    "mime-version": _E(
        _MIME, _W.PROGRAM, "RFC 2045 §4", "The body is described by the next fields.", 1,
    ),
    "content-type": _E(
        _MIME, _W.PROGRAM, "RFC 2045 §5", "What the body is.", 1,
    ),
    "content-transfer-encoding": _E(
        _MIME, _W.PROGRAM, "RFC 2045 §6", "How the body's octets are written.", 1,
    ),
    "content-disposition": _E(
        _MIME, _W.PROGRAM, "RFC 2183", "Whether the body is to be shown, or is an attachment with a name.", 1,
    ),
    "content-id": _E(_MIME, _W.PROGRAM, "RFC 2045 §7", "A name for the body, for others to point to.", 1),
    "content-description": _E(_MIME, _W.PROGRAM, "RFC 2045 §8", "What the body is, in free words.", 1),
    "content-language": _E(_MIME, _W.PROGRAM, "RFC 3282", "The language the body is in."),
    "accept-language": _E(_MIME, _W.PROGRAM, "RFC 3282", "The languages the author reads."),
    "content-length": _E(_MIME, _W.STORE, "RFC 2076 §3.4", "How long the body is, noted in a mailbox file."),
    "lines": _E(_MIME, _W.STORE, "RFC 2076 §3.4", "How many lines the body has, noted in a mailbox file."),
    # --- mailing lists --------------------------------------------------------------------------
    "list-id": _E(_LIST, _W.LIST, "RFC 2919", "The mailing list's name; it stays when the list moves.", 1),
    "list-help": _E(_LIST, _W.LIST, "RFC 2369 §3.1", "How to get the list's instructions.", 1),
    "list-unsubscribe": _E(_LIST, _W.LIST, "RFC 2369 §3.2", "How to leave the list.", 1),
    "list-unsubscribe-post": _E(
        _LIST, _W.LIST, "RFC 8058", "The reader's program may leave the list by one click, without asking.", 1,
    ),
    "list-subscribe": _E(_LIST, _W.LIST, "RFC 2369 §3.3", "How to join the list.", 1),
    "list-post": _E(_LIST, _W.LIST, "RFC 2369 §3.4", "How to write to the list; NO: only its owner may.", 1),
    "list-owner": _E(_LIST, _W.LIST, "RFC 2369 §3.5", "Whom to write to about the list.", 1),
    "list-archive": _E(_LIST, _W.LIST, "RFC 2369 §3.6", "Where the list's old messages are.", 1),
    "archived-at": _E(_LIST, _W.LIST, "RFC 5064", "Where this very message is kept."),
    "precedence": _E(
        _LIST, _W.LIST, "RFC 3834 §2",
        "An old mark of mass mail (bulk, list, junk): programs that answer by themselves stay silent.",
    ),
    "x-mailman-version": _E(_LIST, _W.LIST, "", "The list runs on Mailman, of this version."),
    "x-beenthere": _E(_LIST, _W.LIST, "", "The list's mark: if it meets it again, the mail has come back to it."),
    "errors-to": _E(_LIST, _W.LIST, "RFC 2076 §3.5", "Where a list wanted reports to go; Return-Path does that."),
    "feedback-id": _E(_LIST, _W.SUBMISSION, "", "A mass sender's name for this mailing, for complaints."),
    # --- who vouches ----------------------------------------------------------------------------
    "authentication-results": _E(
        _AUTH, _W.FILTER, "RFC 8601 §2",
        "What a receiving server found about SPF, DKIM and DMARC; worth something only if it is your own server.",
    ),
    "received-spf": _E(
        _AUTH, _W.FILTER, "RFC 7208 §9.1",
        "What a receiving server found: may that address send for that domain? "
        "Worth something only if it is your own server.",
    ),
    "dkim-signature": _E(
        _AUTH, _W.SIGNER, "RFC 6376 §3.5",
        "A domain's signature over the body and the fields in h=; who has its public key can check it.",
    ),
    "domainkey-signature": _E(_AUTH, _W.SIGNER, "RFC 4870", "A signature in the form before DKIM; history."),
    "x-google-dkim-signature": _E(
        _AUTH, _W.SIGNER, "", "A signature that Google makes for its own use; others do not check it.",
    ),
    "arc-seal": _E(
        _AUTH, _W.MTA, "RFC 8617 §4.1.3",
        "A forwarder's signature over what it and those before it found: one link of the chain.",
    ),
    "arc-message-signature": _E(
        _AUTH, _W.MTA, "RFC 8617 §4.1.2", "A forwarder's signature over the message as it passed it on.",
    ),
    "arc-authentication-results": _E(
        _AUTH, _W.MTA, "RFC 8617 §4.1.1",
        "What a forwarder found about SPF, DKIM and DMARC before it passed the message on.",
    ),
    "bimi-selector": _E(_AUTH, _W.PROGRAM, "", "Which logo of the domain the sender would like to be shown."),
    "tls-required": _E(
        _AUTH, _W.AUTHOR, "RFC 8689 §5", "No: deliver it even where encryption cannot be had.", 1,
    ),
    "x-original-authentication-results": _E(
        _AUTH, _W.LIST, "", "What a list's server found about the message before the list changed it.",
    ),
    # --- reports and programs -------------------------------------------------------------------
    "auto-submitted": _E(
        _REPORT, _W.AUTOMATON, "RFC 3834 §5", "No person wrote this: do not answer it automatically.", 1,
    ),
    "x-auto-response-suppress": _E(_REPORT, _W.PROGRAM, "", "Exchange is asked not to answer automatically."),
    "x-failed-recipients": _E(_REPORT, _W.GAVE_UP, "", "For whom delivery failed."),
    "disposition-notification-to": _E(
        _REPORT, _W.PROGRAM, "RFC 8098 §2.1", "The author would like to be told when it has been read.",
    ),
    "return-receipt-to": _E(_REPORT, _W.PROGRAM, "RFC 2076 §3.5", "An old wish to be told of the delivery."),
    # --- filters --------------------------------------------------------------------------------
    "x-spam": _E(_SPAM, _W.FILTER, "", "A filter's verdict on whether this is spam."),
    "x-spam-flag": _E(_SPAM, _W.FILTER, "", "A filter's verdict: YES means spam."),
    "x-spam-status": _E(
        _SPAM, _W.FILTER, "", "A filter's verdict with its points, the limit, and the tests that hit.",
    ),
    "x-spam-score": _E(_SPAM, _W.FILTER, "", "A filter's points: the more, the more like spam."),
    "x-spam-level": _E(_SPAM, _W.FILTER, "", "A filter's points as stars, for simple rules to count."),
    "x-spam-checker-version": _E(_SPAM, _W.FILTER, "", "Which filter looked at it."),
    "x-virus-scanned": _E(_SPAM, _W.FILTER, "", "A virus scanner says that it looked; anybody can write this."),
    # --- the mailbox ----------------------------------------------------------------------------
    "status": _E(_DELIVERY, _W.STORE, "RFC 2076 §3.15", "Read or not, noted in a mailbox file."),
    "x-status": _E(_DELIVERY, _W.STORE, "", "Answered, deleted and so on, noted in a mailbox file."),
    "x-mozilla-status": _E(_DELIVERY, _W.STORE, "", "Thunderbird's notes in a mailbox file."),
    "x-keywords": _E(_DELIVERY, _W.STORE, "", "The reader's own labels, noted in a mailbox file."),
    "x-uid": _E(_DELIVERY, _W.STORE, "", "The message's number, noted in a mailbox file."),
    "x-gmail-labels": _E(_DELIVERY, _W.STORE, "", "The labels it had in the reader's Gmail mailbox."),
    "x-gm-thrid": _E(_DELIVERY, _W.STORE, "", "Gmail's number for the conversation."),
    "": _E(
        _K.UNKNOWN, _W.STORE, "RFC 4155",
        "No header field: the line that begins a message in an mbox file, with sender and date.",
    ),
}  # fmt: skip

RESENT_WORDS = "Somebody passed the message on by hand; these fields say who, when and to whom."
_BEGINNINGS: tuple[tuple[str, Entry], ...] = (
    ("resent-", _E(_RESENT, _W.PROGRAM, "RFC 5322 §3.6.6", RESENT_WORDS)),
    ("list-", _E(_LIST, _W.LIST, "RFC 2369", "Something that the mailing list says of itself.")),
    ("arc-", _E(_AUTH, _W.MTA, "RFC 8617", "A part of a forwarder's chain of custody.")),
    ("content-", _E(_MIME, _W.PROGRAM, "RFC 2045 §9", "Something about the body.")),
    ("x-spam", _E(_SPAM, _W.FILTER, "", "Something that a spam filter noted.")),
    ("x-rspamd", _E(_SPAM, _W.FILTER, "", "Something that the spam filter Rspamd noted.")),
    ("x-barracuda", _E(_SPAM, _W.FILTER, "", "Something that a Barracuda filter noted.")),
    ("x-ironport", _E(_SPAM, _W.FILTER, "", "Something that a Cisco filter noted.")),
    ("x-proofpoint", _E(_SPAM, _W.FILTER, "", "Something that a Proofpoint filter noted.")),
    ("x-mimecast", _E(_SPAM, _W.FILTER, "", "Something that a Mimecast filter noted.")),
    ("x-forefront", _E(_SPAM, _W.FILTER, "", "Something that Microsoft's filter noted.")),
    ("x-microsoft-antispam", _E(_SPAM, _W.FILTER, "", "Something that Microsoft's filter noted.")),
    ("x-amavis", _E(_SPAM, _W.FILTER, "", "Something that the filter amavis noted.")),
    ("x-clamav", _E(_SPAM, _W.FILTER, "", "Something that the virus scanner ClamAV noted.")),
    ("x-virus", _E(_SPAM, _W.FILTER, "", "Something that a virus scanner noted.")),
    ("x-dspam", _E(_SPAM, _W.FILTER, "", "Something that the filter DSPAM noted.")),
    ("x-bogosity", _E(_SPAM, _W.FILTER, "", "The verdict of the filter Bogofilter.")),
    ("x-ms-exchange-", _E(_K.VENDOR, _W.MTA, "", "A note of Exchange's for other Exchange servers.")),
    ("x-google-", _E(_K.VENDOR, _W.MTA, "", "A note of Google's for Google's own servers.")),
    ("x-gm-", _E(_K.VENDOR, _W.MTA, "", "A note of Google's for Google's own servers.")),
    ("x-yahoo-", _E(_K.VENDOR, _W.MTA, "", "A note of Yahoo's for Yahoo's own servers.")),
    ("x-ymail-", _E(_K.VENDOR, _W.MTA, "", "A note of Yahoo's for Yahoo's own servers.")),
    ("x-mozilla-", _E(_DELIVERY, _W.STORE, "", "Thunderbird's notes in a mailbox file.")),
    ("x-mailman-", _E(_LIST, _W.LIST, "", "A note of the list program Mailman.")),
    ("x-ses-", _E(_K.VENDOR, _W.MTA, "", "A note of Amazon's mail service.")),
    ("x-sg-", _E(_K.VENDOR, _W.MTA, "", "A note of the relay SendGrid.")),
    ("x-mailgun-", _E(_K.VENDOR, _W.MTA, "", "A note of the relay Mailgun.")),
    ("x-labkit-", _E(_K.VENDOR, _W.UNKNOWN, "", "A note of the lab.")),
    (
        "x-",
        _E(_K.VENDOR, _W.UNKNOWN, "RFC 6648", "No standard knows it: some program's own note, by anybody."),
    ),
)
UNKNOWN = _E(
    _K.UNKNOWN, _W.UNKNOWN, "RFC 5322 §3.6.8", "A field that is not known here; anybody may invent one."
)


@lru_cache(maxsize=1024)
def entry_of(name: str) -> Entry:
    """What is known of a field of this name, in any case. Never fails."""
    small = name.lower()
    known = FIELDS.get(small)
    if known is not None:
        return known
    return next((entry for beginning, entry in _BEGINNINGS if small.startswith(beginning)), UNKNOWN)
