"""One cell of the matrix of TLS: a client that wants so much encryption, a port, and somebody in between.

WHAT       CLIENTS: the lines of exim.conf that make each kind of client; `transport_lines` puts them together for a
           port; `client_configuration` is the whole file. OUTCOMES: what may become of a letter, the worst last.
STANDARDS  RFC 3207 §4 (a public MX may not require TLS), RFC 7435 (opportunistic), RFC 8314 §3 (submission)
READ NEXT  tls_matrix.py
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from labkit.lab.data import data_path, fill_in
from labkit.lab.overheard import Heard, Letter

PORTS: Mapping[int, str] = MappingProxyType(
    {25: "MTA to MTA", 465: "submission, TLS from the start", 587: "submission, STARTTLS"}
)
CLIENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "plain": ("hosts_avoid_tls = *",),
        "opportunistic": (),
        "required": ("hosts_require_tls = *",),
        "verified": (
            "hosts_require_tls = *",
            "tls_verify_hosts = *",
            "tls_verify_certificates = /etc/ssl/lab-authority.pem",
            "tls_verify_cert_hostnames = *",
        ),
    }
)
ATTACKERS = ("none", "strips", "own certificate", "injects")
OUTCOMES: Mapping[str, str] = MappingProxyType(
    {
        "encrypted": "delivered, and nobody on the way could read it",
        "refused": "not delivered: one side would not go on, and the letter waits or comes back",
        "clear": "delivered, and everybody on the way could read it",
        "read": "delivered under TLS, which ended at the attacker: he could read it",
        "injected": "something else was delivered than what was sent",
        "stolen": "somebody on the way has the password",
    }
)
BANNER_PATIENCE = "2s"  # for a banner that never comes; a real Exim waits for it in real time


def transport_lines(client: str, port: int) -> tuple[str, ...]:
    """The options of the transport `smtp` that make this client at this port."""
    lines = [f"port = {port}"]
    if port == 465:
        lines += [f"command_timeout = {BANNER_PATIENCE}"] if client == "plain" else ["protocol = smtps"]
    if port != 25:
        lines.append("hosts_require_auth = *")
    return (*lines, *CLIENTS[client])


def client_configuration(client: str, port: int, *, host: str, server: str) -> str:
    """The exim.conf of such a client: the same for labkit and the real Exim."""
    template = data_path("scenarios", "tls_client", "host.conf").read_text(encoding="utf-8")
    lines = "\n".join(f"  {line}" for line in transport_lines(client, port))
    domain = host.partition(".")[2]
    return fill_in(template, {"host": host, "domain": domain, "server": server, "lines": lines})


@dataclass(frozen=True, slots=True, repr=False)
class Cell:
    """What became of one letter. `outcome` is one of OUTCOMES; `fate`: delivered, waits, or gone.

    `client_log`, `server_log`: what the logs say of it; `dialogue`: the talk as the attacker saw it, speaker, text and
    how he came to see it; `told`: passwords that he heard; `letters`: those that he could read; `on_wire`: what of
    "letter" and "password" can be read in the capture.
    """

    port: int
    client: str
    attacker: str
    outcome: str
    fate: str
    at: datetime
    client_log: tuple[str, ...]
    server_log: tuple[str, ...]
    dialogue: tuple[tuple[str, str, str], ...]
    told: tuple[Heard, ...]
    letters: tuple[Letter, ...]
    on_wire: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<{self.port} {self.client}, {self.attacker}: {self.outcome}, {self.fate}>"

    @property
    def words(self) -> str:
        """The outcome in a sentence."""
        return OUTCOMES[self.outcome]
