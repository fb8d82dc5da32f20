"""What variables hold in a command: of its caller, of a message that -bem reads.

LIKE EXIM  the sender is the caller at qualify_domain; counters are 0; what a network connection would set is empty
READ NEXT  addresses.py
"""

from __future__ import annotations

import os

from labkit.cli.exim.machine import Machine, now
from labkit.eximconf.expansion import Env
from labkit.mail.dates import header_date
from labkit.mail.message import Message
from labkit.mta.queue_id import queue_id
from labkit.mta.variables import arrived, header_of

AT_REST = {
    "0": """acl_narg authentication_failed av_failed body_linecount body_zerocount dkim_created dkim_key_length
        dkim_key_nosubdomains dkim_key_testing event_defer_errno host_lookup_deferred host_lookup_failed host_port
        inode localhost_number max_received_linelength message_age message_body_size message_linecount
        message_size mime_anomaly_level mime_content_size mime_is_coverletter mime_is_multipart mime_is_rfc822
        proxy_external_port proxy_local_port rcpt_count rcpt_defer_count rcpt_fail_count received_count
        received_time recipients_count runrc sender_host_port smtp_count_at_connection_start tls_bits
        tls_certificate_verified tls_in_bits tls_in_certificate_verified tls_in_ocsp tls_in_resumption
        tls_out_bits tls_out_certificate_verified tls_out_ocsp tls_out_resumption tls_out_tlsa_usage""",
    "no": """message_smtputf8 prdr_requested proxy_session sender_helo_dnssec sender_host_dnssec
        spf_result_guessed tls_out_dane""",
    "-1": "interface_port mime_part_count received_port sending_port",
    "*": "dkim_key_granularity dkim_key_srvtype",
    "9999999999999": "dkim_bodylength dkim_expires",
    "4294967295": "local_user_gid local_user_uid",
}


def of_caller(machine: Machine, sender: str | None = None) -> dict[str, str]:
    """The variables of a command that its caller runs. `sender` is what -f says."""
    found = {name: value for value, names in AT_REST.items() for name in names.split()}
    address = sender if sender is not None else f"{machine.user}@{machine.qualify_domain}"
    local_part, _, domain = address.rpartition("@")
    main = machine.configuration.main
    size = str(main.number("bounce_return_size_limit"))
    caller = f"{machine.user}@{machine.qualify_domain}"
    return found | {
        "authenticated_id": machine.user,
        "authenticated_sender": caller,
        "bounce_return_size_limit": size,
        "return_size_limit": size,
        "caller_gid": str(os.getgid()),
        "caller_uid": str(os.getuid()),
        "config_dir": os.path.dirname(machine.file) or ".",
        "config_file": machine.file,
        "exim_gid": str(os.getgid()),
        "exim_uid": str(os.getuid()),
        "exim_path": main.text("exim_path") or "",
        "exim_version": "4.96",
        "initial_cwd": os.fsencode(os.getcwd()).decode("latin-1"),
        "load_average": str(int(os.getloadavg()[0] * 1000)),
        "originator_gid": str(os.getgid()),
        "originator_uid": str(os.getuid()),
        "pid": str(os.getpid()),
        "primary_hostname": machine.primary_hostname,
        "qualify_domain": machine.qualify_domain,
        "qualify_recipient": main.text("qualify_recipient") or machine.qualify_domain,
        "sender_address": address,
        "sender_address_domain": domain,
        "sender_address_local_part": local_part,
        "sender_ident": machine.user,
        "smtp_active_hostname": machine.primary_hostname,
        "spool_directory": main.text("spool_directory") or "",
        "version_number": "4.96",
    }


def of_message(machine: Machine, env: Env, octets: bytes) -> None:
    """Put a message into an Env, as if it had just been handed in."""
    text = octets.replace(b"\r\n", b"\n")
    if text.startswith(b"From "):
        text = text.partition(b"\n")[2]
    message = Message.parse(text.replace(b"\n", b"\r\n"))
    added = queue_id(now(), os.getpid())
    fields = list(header_of(message))
    names = {name.lower() for name, _ in fields}
    for name, body in (
        ("Message-Id", f" <E{added}@{machine.primary_hostname}>\n"),
        ("From", f" {env.variables['sender_address']}\n"),
        ("Date", f" {header_date(now())}\n"),
    ):
        if name.lower() not in names:
            fields.append((name, body))
    arrived(env.variables, message, added, (), max(map(len, text.split(b"\n"))))
    header = "".join(f"{name}:{body}" for name, body in fields)
    env.variables |= {"message_headers": header.removesuffix("\n"), "message_headers_raw": header}
    env.headers = fields
