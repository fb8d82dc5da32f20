"""What Exim's variables hold: of a host, a connection, an envelope, a message.

WHAT       functions that fill a dict of variables, each at the moment when Exim sets them.
LIKE EXIM  $local_part and $domain are in small letters; the rest of an address is as it was given
STANDARDS  Exim specification, chapter "String expansions", section "Expansion variables"
READ NEXT  session.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from labkit.eximconf.client_name import INTERFACE_IS_SHOWN, PORT_IS_SHOWN, name_client
from labkit.mail.address import Mailbox
from labkit.mail.encryption import Encryption
from labkit.mail.envelope import Envelope
from labkit.mail.message import Message
from labkit.mta.compiled import Compiled
from labkit.net.network import Peer
from labkit.net.spool_format import OF_A_FILTER
from labkit.queue.item import QueueItem
from labkit.smtp.server import Server

MESSAGE_BODY_VISIBLE = 500  # octets; Exim's message_body_visible
_FULL_HOST = re.compile(r"(?:(?P<name>[^ (\[][^ ]*) )?(?:\((?P<helo>.*)\) )?\[[^\]]*\](?::[0-9]+)?")
_OF_A_MESSAGE = (
    "authenticated_sender",
    "sender_address",
    "sender_address_domain",
    "sender_address_local_part",
    "sender_address_data",
    "sender_data",
    "sender_verify_failure",
    "message_size",
    "message_exim_id",
    "message_id",
    "message_body",
    "message_body_end",
    "message_body_size",
    "message_linecount",
    "body_linecount",
    "body_zerocount",
    "received_count",
    "max_received_linelength",
    "recipients",
    "rcpt_count",
    "rcpt_fail_count",
    "rcpt_defer_count",
    "recipients_count",
)
DKIM_AT_REST = {  # where there is no signature
    "dkim_bodylength": "9999999999999",
    "dkim_created": "0",
    "dkim_expires": "9999999999999",
    "dkim_key_granularity": "*",
    "dkim_key_length": "0",
    "dkim_key_nosubdomains": "0",
    "dkim_key_srvtype": "*",
    "dkim_key_testing": "0",
}
_OF_TLS = "ver cipher cipher_std bits peerdn sni certificate_verified".split()
_OLD_NAMES = "cipher bits peerdn sni certificate_verified".split()  # without _in
_OF_A_RECIPIENT = (
    "local_part",
    "domain",
    "local_part_data",
    "domain_data",
    "recipient_data",
    "recipient_verify_failure",
    "address_data",
)


def of_host(compiled: Compiled) -> dict[str, str]:
    """What is true of the host whatever it does."""
    main = compiled.configuration.main
    shown = {name: "" for name in (PORT_IS_SHOWN, INTERFACE_IS_SHOWN) if name[1:] in compiled.log_selector}
    return shown | {
        "primary_hostname": compiled.here.primary_hostname,
        "smtp_active_hostname": compiled.here.primary_hostname,
        "qualify_domain": compiled.qualify_domain,
        "qualify_recipient": compiled.qualify_recipient,
        "spool_directory": main.text("spool_directory") or "/var/spool/exim",
        "config_file": compiled.configuration.file,
        "config_dir": compiled.configuration.file.rpartition("/")[0],
        "spf_result_guessed": "no",
        "host_lookup_deferred": "0",
        "host_lookup_failed": "0",
        "bounce_return_size_limit": str(main.number("bounce_return_size_limit")),
        "version_number": "4.96",  # the Exim whose language this is
        "exim_version": "4.96",
        "compile_number": "2",
        **DKIM_AT_REST,
    }


def connected(variables: dict[str, str], peer: Peer, address: str, port: int) -> None:
    """A client at `peer` has connected to our `address` and `port`."""
    variables |= {
        "sender_host_address": peer.address,
        "sender_host_port": str(peer.port),
        "received_ip_address": address,
        "received_port": str(port),
        "interface_address": address,
        "interface_port": str(port),
        "received_protocol": "smtp",
        "smtp_count_at_connection_start": "1",
        "authentication_failed": "0",
        "tls_in_bits": "0",
        "tls_in_certificate_verified": "0",
    }
    name_client(variables)


def greeted(variables: dict[str, str], name: str, protocol: str) -> None:
    """The client has said HELO or EHLO."""
    variables["sender_helo_name"] = name
    variables["received_protocol"] = protocol
    name_client(variables)


def shown_client(variables: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The client as the log shows it: what it calls itself (or its name, if that is the same), and its name."""
    found = _FULL_HOST.fullmatch(variables.get("sender_fullhost", ""))
    if found is None:
        return variables.get("sender_helo_name") or None, None
    name = found["name"]
    return (found["helo"] if found["helo"] is not None else name), name


def forget_message(variables: dict[str, str]) -> None:
    """What belonged to the message before is gone: RSET, or the message has been taken."""
    for name in (*_OF_A_MESSAGE, *_OF_A_RECIPIENT):
        variables.pop(name, None)
    for name in [name for name in variables if name.startswith("acl_m")]:
        del variables[name]


def from_sender(variables: dict[str, str], sender: Mailbox | None, size: int | None = None) -> None:
    """MAIL FROM has been given."""
    named_sender(variables, sender)
    variables["message_size"] = "-1" if size is None else str(size)


def named_sender(variables: dict[str, str], sender: Mailbox | None) -> None:
    """Who stands for the sender."""
    variables["sender_address"] = "" if sender is None else str(sender)
    variables["sender_address_local_part"] = "" if sender is None else sender.local_part
    variables["sender_address_domain"] = "" if sender is None else sender.domain


def of_envelope(variables: dict[str, str], envelope: Envelope) -> None:
    """The sender and the recipients, as rewriting has made them."""
    size = variables.get("message_size")
    from_sender(variables, envelope.reverse_path, int(size) if size else None)
    variables["recipients"] = ", ".join(map(str, envelope.forward_paths))


def to_recipient(variables: dict[str, str], recipient: Mailbox) -> None:
    """This recipient is looked at now."""
    for name in _OF_A_RECIPIENT:
        variables.pop(name, None)
    variables["local_part"] = recipient.local_part.lower()
    variables["domain"] = recipient.domain.lower()


def count_recipients(variables: dict[str, str], machine: Server, taken: int) -> None:
    """How many RCPT commands there were for this message, and what came of them."""
    variables["rcpt_count"] = str(machine.transaction.rcpt_count)
    variables["rcpt_fail_count"] = str(machine.transaction.rcpt_fail_count)
    variables["rcpt_defer_count"] = str(machine.transaction.rcpt_defer_count)
    variables["recipients_count"] = str(taken)


def arrived(
    variables: dict[str, str],
    message: Message,
    queue_id: str,
    recipients: Sequence[Mailbox],
    longest_line: int,
) -> None:
    """The message is here."""
    body = message.body.replace(b"\r\n", b"\n")
    lines = body.count(b"\n")
    content = bytes(message)
    header = content[: len(content) - len(message.body) - len(message.separator)]
    for name in ("local_part", "domain"):
        variables.pop(name, None)
    variables |= {
        "message_exim_id": queue_id,
        "message_id": queue_id,
        "message_size": str(len(content) - content.count(b"\r\n")),
        "message_body": _shown(body[:MESSAGE_BODY_VISIBLE]),
        "message_body_end": _shown(body[-MESSAGE_BODY_VISIBLE:]),
        "message_body_size": str(len(body)),
        "body_linecount": str(lines),
        "body_zerocount": str(body.count(b"\0")),
        "message_linecount": str(header.count(b"\n") + 1 + lines),
        "received_count": str(sum(1 for _ in message.all("Received")) + 1),  # with ours
        "max_received_linelength": str(longest_line),
        "recipients": ", ".join(map(str, recipients)),
        "recipients_count": str(len(recipients)),
    }


def _shown(body: bytes) -> str:
    return body.decode("latin-1").replace("\n", " ").replace("\0", " ")


def of_item(variables: dict[str, str], item: QueueItem, message: Message) -> None:
    """A message that waits is delivered."""
    origin = item.origin
    if origin.client_address:
        variables["sender_host_address"] = origin.client_address
        variables["sender_host_port"] = str(origin.client_port)
        variables["sender_helo_name"] = origin.helo_name
        variables["sender_host_name"] = origin.client_name
        name_client(variables)
    if origin.login:
        variables["sender_ident"] = origin.login
    if origin.encryption is not None:
        encrypted(variables, origin.encryption)
    if origin.authenticator:
        variables["sender_host_authenticated"] = origin.authenticator
    if origin.authenticated_id:
        variables["authenticated_id"] = origin.authenticated_id
    if origin.authenticated_sender:
        variables["authenticated_sender"] = origin.authenticated_sender
    variables |= dict(item.acl_variables)
    variables["received_protocol"] = origin.protocol
    from_sender(variables, item.envelope.reverse_path)
    longest = max(map(len, item.content.split(b"\r\n")), default=0)
    arrived(variables, message, item.queue_id, item.envelope.forward_paths, longest)
    variables["received_time"] = str(int(item.received_at.timestamp()))


def of_acls(variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What ACLs have set, and what a content filter said; it goes with the message."""
    own = sorted(each for each in variables.items() if each[0].startswith(("acl_c", "acl_m")))
    return (*own, *((name, variables[name]) for name in OF_A_FILTER if name in variables))


def header_of(message: Message) -> Sequence[tuple[str, str]]:
    """The header as expansions know it: names and raw bodies, octets, with the newline at the end."""
    return _Header(message)


class _Header(Sequence[tuple[str, str]]):
    """Fields that are read when somebody asks for them: most decisions never do."""

    def __init__(self, message: Message) -> None:
        self._message = message

    @cached_property
    def _fields(self) -> list[tuple[str, str]]:
        found = []
        for field in self._message.header_fields:
            name, _, body = field.raw.decode("latin-1").replace("\r\n", "\n").partition(":")
            found.append((name.rstrip(" \t"), body))
        return found

    def __getitem__(self, index: Any) -> Any:
        return self._fields[index]

    def __len__(self) -> int:
        return len(self._fields)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)


def encrypted(variables: dict[str, str], encryption: Encryption) -> None:
    """Exim's variables for a connection that is encrypted now."""
    known = {
        "ver": encryption.version,
        "cipher": encryption.shown,
        "cipher_std": encryption.cipher,
        "bits": str(encryption.bits),
        "peerdn": encryption.peer_name,
        "sni": encryption.server_name,
        "certificate_verified": str(int(encryption.is_verified)),
    }
    variables |= {f"tls_in_{name}": known[name] for name in _OF_TLS}
    variables |= {f"tls_{name}": known[name] for name in _OLD_NAMES}
