"""The exim.conf of the stories' hosts: one base, of which a story changes a part.

READ NEXT  the stories
"""

from __future__ import annotations

MAIN = """\
# exim.conf of {host}
primary_hostname = {host}
qualify_domain   = {domain}
domainlist local_domains    = {domain}
domainlist relay_to_domains =
hostlist   relay_from_hosts = {laptop}
acl_smtp_rcpt = check_rcpt
"""
CHECK_RCPT = """\
check_rcpt:
  accept  hosts   = +relay_from_hosts
  require message = relay not permitted
          domains = +local_domains : +relay_to_domains
  require verify  = recipient
  accept
"""
OTHERS = """\
others:
  driver    = dnslookup
  domains   = ! +local_domains
  transport = by_smtp
  no_more
"""
OURS = """\
ours:
  driver    = accept
  check_local_user
  transport = into_mailbox
  cannot_route_message = Unknown user
"""
BY_SMTP = """\
by_smtp:
  driver = smtp
"""
INTO_MAILBOX = """\
into_mailbox:
  driver = appendfile
  file   = /var/mail/$local_part_data
  return_path_add
  envelope_to_add
  delivery_date_add
"""
TLS = """\
tls_certificate = /etc/tls.crt
tls_privatekey  = /etc/tls.key
"""
RETRY = "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h\n"

HOSTS = {
    "mx2.st11.sne21.test": ("st11.sne21.test", "198.51.100.11"),
    "mx2.st2.sne21.test": ("st2.sne21.test", "198.51.100.2"),
    "smtp.relay.test": ("relay.test", ""),
}


def exim_conf(
    host: str,
    main: str = "",
    *,
    acl: str = CHECK_RCPT,
    routers: str = OTHERS + OURS,
    transports: str = BY_SMTP + INTO_MAILBOX,
    retry: str = RETRY,
    authenticators: str = "",
    **lists: str,
) -> str:
    """The configuration of a host of the cast.

    `main` is added to the main section; `lists` are other values for its named lists: `relay_to_domains="st2.test"`.
    """
    domain, laptop = HOSTS[host]
    top = MAIN.format(host=host, domain=domain, laptop=laptop)
    for name, value in lists.items():
        lines = [
            f"{line.partition('=')[0]}= {value}" if f" {name} " in line else line for line in top.split("\n")
        ]
        top = "\n".join(lines)
    parts = {
        "acl": acl,
        "routers": routers,
        "transports": transports,
        "retry": retry,
        "authenticators": authenticators,
    }
    # without one Exim makes a certificate for each session, which costs it a quarter of a second
    return "\n".join(
        [
            top + main + ("" if "tls_" in main else TLS),
            *(f"begin {name}\n{text}" for name, text in parts.items() if text),
        ]
    )
