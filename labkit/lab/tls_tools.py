"""What real tools say about the TLS of a server of the lab: openssl, swaks, Python's smtplib, and labkit's own client.

WHAT       `await ask_openssl(world, caller, name, port)`, `ask_swaks`, `ask_smtplib`: the tool runs on that machine of
           the lab and gives a `ToolSaid`: version, cipher, whether the certificate is good, and its telling lines,
           each explained. `await ask_all(…)` asks all of them, and labkit's own client.
DECIDES    every tool checks chain and name by the lab's authority. Lines that differ from run to run (session numbers,
           keys, times) or tell nothing are left out.
RULES      a tool that is not installed, or a world in memory, is a `why_not`, and no error.
LIKE       openssl s_client -starttls smtp -connect NAME:587 -verify_hostname NAME -verify_return_error -CAfile ca.pem
STANDARDS  RFC 3207; RFC 8314 §3.3
READ NEXT  handshakes.py
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.lab.handshakes import watch_handshake
from labkit.lab.host import Host
from labkit.lab.reaching import IMPLICIT_TLS
from labkit.mail.questions import Account
from labkit.net.loopback import Loopback
from labkit.net.tls_names import standard_name

if TYPE_CHECKING:
    from labkit.lab.laptop import Laptop
    from labkit.lab.world import World

PATIENCE = 30.0  # seconds of real time
MOST_LINES = 40
SMTPLIB = """\
import smtplib, ssl, sys
name, port, authority, own = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
context = ssl.create_default_context(cafile=authority)
try:
    if port == 465:
        client = smtplib.SMTP_SSL(name, port, own, context=context)
    else:
        client = smtplib.SMTP(name, port, own)
        client.ehlo()
        print("before:", " ".join(sorted(client.esmtp_features)))
        client.starttls(context=context)
    client.ehlo()
    print("inside:", " ".join(sorted(client.esmtp_features)))
    print("version:", client.sock.version())
    print("cipher:", client.sock.cipher()[0])
    client.quit()
except Exception as problem:
    print(type(problem).__name__ + ":", problem)
    sys.exit(1)
"""


@dataclass(frozen=True, slots=True)
class ToolSaid:
    """What a tool said. `is_good`: chain and name, None if it came to no TLS. `lines`: each with what it means."""

    tool: str
    command: str
    port: int
    version: str = ""
    cipher: str = ""
    is_good: bool | None = None
    reason: str = ""
    lines: tuple[tuple[str, str], ...] = ()
    why_not: str = ""


_OPENSSL = (
    (r"CONNECTED\(.*", "the TCP connection is there"),
    (r"verify error:num=\d+:(.*)", "the check of the certificate stumbles here"),
    (r"subject=.*", "whose certificate it is"),
    (r"issuer=.*", "who has signed it"),
    (r"Peer signature type: .*", "how the server has proved that it has the key"),
    (r"Server Temp Key: .*", "the group of the keys that were made for this connection alone"),
    (r"Verification: OK", "chain and name are good"),
    (r"Verification error: .*", "chain or name is not good"),
    (r"Verified peername: .*", "the name in the certificate that fits"),
    (
        r"New, (?P<version>TLSv[\d.]+|\(NONE\)), Cipher is (?P<cipher>\S+)",
        "version (of the cipher's kind) and cipher",
    ),
    (r"Secure Renegotiation IS NOT supported", "in TLS 1.3 there is none any more"),
    (
        r"Secure Renegotiation IS supported",
        "it could be done safely (RFC 5746); whether it is done, the server says",
    ),
    (r"Protocol *: (?P<protocol>\S+)", "the version"),
    (r"Verify return code: .*", "the sum of it: 0 is good"),
    (r"Didn't find STARTTLS in server response.*", "the server has not offered it"),
    (r"no peer certificate available", "it came to no TLS"),
    (
        r".*SSL routines:[^:]*:[^:]*(?P<shown>alert protocol version):.*",
        "the server: I do not speak this version",
    ),
    (r".*SSL routines:[^:]*:[^:]*(?P<shown>alert [a-z ]+):.*", "the server ends it, and says why"),
    (
        r".*SSL routines:[^:]*:(?P<shown>no protocols available):.*",
        "openssl itself speaks this version no more",
    ),
)
_SWAKS = (
    (r"=== Connected to .*", "the TCP connection is there"),
    (r"<[-~ ]+ 250-STARTTLS", "the offer, in the clear"),
    (r" ?-> STARTTLS", "it wants TLS"),
    (r"=== TLS started with cipher (?P<version>TLSv[\d.]+):(?P<cipher>\S+):\d+", "version, cipher, bits"),
    (r"=== TLS started w/ cipher (?P<cipher>\S+)", "the cipher"),
    (r"=== TLS (?:client|no local) certificate .*", "the client has shown none"),
    (r"=== TLS peer (?:certificate )?(?:\[0\] )?(?:subject=|DN=).*", "whose certificate it is"),
    (r"\*\*\* TLS .*", "it came to no TLS"),
    (r"\*\*\* .*", "what went wrong"),
    (r"<~\* +5.*", "refused"),
)
_PYTHON = (
    (r"before: .*", "the keywords in the clear"),
    (r"inside: .*", "the keywords inside TLS"),
    (r"version: (?P<version>\S+)", "the version"),
    (r"cipher: (?P<cipher>\S+)", "the cipher"),
    (r"\w+(?:Error|Exception|NotSupportedError|refused): .*", "what went wrong"),
)


async def ask_openssl(
    world: World, caller: Host | Laptop, name: str, port: int = 587, *, options: Sequence[str] = ()
) -> ToolSaid:
    """`openssl s_client`. `options` are put behind: ("-tls1_2",) or ("-tls1_1",)."""
    words = ["openssl", "s_client", *([] if port == IMPLICIT_TLS else ["-starttls", "smtp"])]
    words += [
        "-connect",
        f"{name}:{port}",
        "-servername",
        name,
        "-verify_hostname",
        name,
        "-verify_return_error",
    ]
    words += ["-CAfile", str(world.authority.prepare()), *options]
    done = await _run(world, caller, "openssl", words, port, "QUIT\n")
    if isinstance(done, ToolSaid):
        return done
    said = _read(done.stdout + done.stderr, _OPENSSL)
    found = said[0]
    cipher = found.get("cipher", "").replace("(NONE)", "")
    version = (found.get("protocol") or found.get("version", "")) if cipher else ""
    reason = next(
        (line for line, _ in said[1] if line.startswith(("verify error", "Verification error"))), ""
    )
    is_good = "Verification: OK" in done.stdout if "Verif" in done.stdout + done.stderr or reason else None
    if not cipher and not reason:
        is_good = None
    lines = said[1]
    if is_good is not True:  # what it says of a check that it has never made, and of a TLS that is left
        kept = (
            "CONNECTED",
            "verify error",
            "Verification error",
            "Didn't find",
            "no peer",
            "subject",
            "issuer",
            "alert",
            "no protocols",
        )
        version = cipher = ""
        lines = tuple(pair for pair in lines if pair[0].startswith(kept))
    return ToolSaid("openssl s_client", _shown(words), port, version, cipher, is_good, reason, lines)


async def ask_swaks(world: World, caller: Host | Laptop, name: str, port: int = 587) -> ToolSaid:
    """`swaks --tls --tls-verify` (on 465 `--tls-on-connect`); it says EHLO and goes away."""
    how = "--tls-on-connect" if port == IMPLICIT_TLS else "--tls"
    words = ["swaks", "--server", name, "--port", str(port), how, "--tls-verify", "--tls-ca-path"]
    words += [str(world.authority.prepare()), "--tls-sni", name, "--helo", caller.name]
    words += ["--from", f"ann@{caller.name}", "--to", f"postmaster@{name}", "--quit-after", "HELO"]
    done = await _run(world, caller, "swaks", words, port)
    if isinstance(done, ToolSaid):
        return done
    found, lines = _read(done.stdout + done.stderr, _SWAKS)
    cipher = found.get("cipher", "")
    reason = "" if cipher else next((line for line, _ in lines if line.startswith("***")), "")
    return ToolSaid(
        "swaks",
        _shown(words),
        port,
        found.get("version", ""),
        cipher,
        bool(cipher) if lines else None,
        reason,
        lines,
    )


async def ask_smtplib(world: World, caller: Host | Laptop, name: str, port: int = 587) -> ToolSaid:
    """Python's smtplib with `ssl.create_default_context`, which checks chain and name."""
    words = [sys.executable, "-c", SMTPLIB, name, str(port), str(world.authority.prepare()), caller.name]
    done = await _run(world, caller, sys.executable, words, port)
    if isinstance(done, ToolSaid):
        return done
    found, lines = _read(done.stdout + done.stderr, _PYTHON)
    reason = "" if done.returncode == 0 else next((line for line, _ in lines[::-1]), "it does not say why")
    is_good = True if "cipher" in found else False if "certificate" in reason.lower() else None
    how = "SMTP_SSL(…, context=…)" if port == IMPLICIT_TLS else "starttls(context=…)"
    return ToolSaid(
        "smtplib",
        f"smtplib: {how}",
        port,
        found.get("version", ""),
        found.get("cipher", ""),
        is_good,
        reason,
        lines,
    )


async def ask_labkit(world: World, caller: Host | Laptop, name: str, port: int = 587) -> ToolSaid:
    """labkit's own client."""
    it = await watch_handshake(world, caller, name, port, insists=True)
    known = it.known
    version, cipher = (known.version, known.cipher) if known is not None else ("", "")
    is_good = known.is_verified if known is not None else False if it.trouble else None
    return ToolSaid("labkit", "watch_handshake(…, insists=True)", port, version, cipher, is_good, it.trouble)


async def ask_all(world: World, caller: Host | Laptop, name: str, port: int = 587) -> tuple[ToolSaid, ...]:
    """Everybody, one after the other."""
    asked = (ask_labkit, ask_openssl, ask_swaks, ask_smtplib)
    return tuple([await each(world, caller, name, port) for each in asked])


async def _run(
    world: World, caller: Host | Laptop, program: str, words: list[str], port: int, stdin: str = ""
) -> subprocess.CompletedProcess[str] | ToolSaid:
    tool = {"openssl": "openssl s_client", sys.executable: "smtplib"}.get(program, program)
    if not isinstance(world.network, Loopback):
        return ToolSaid(
            tool, _shown(words), port, why_not="this world is in memory: programs cannot reach it"
        )
    if shutil.which(program) is None:
        return ToolSaid(tool, _shown(words), port, why_not=f"{program} is not installed here")
    login = Account("ann", str(Path.home()))
    labnet = world.programs.introduce(f"{caller.name}.tools", {"ann": login}, Path("/"), ticks=False)
    life = await world.programs.environment(labnet, caller.address, caller.name, "ann")
    async with world.agenda.hold():
        try:
            done = await asyncio.to_thread(
                subprocess.run, words, input=stdin, env=life, capture_output=True, text=True,
                errors="replace", timeout=PATIENCE, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return ToolSaid(
                tool, _shown(words), port, why_not=f"it has not come to an end within {PATIENCE:.0f} s"
            )
    await world.settle()
    return done


def _read(text: str, table: Sequence[tuple[str, str]]) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    """The telling lines, each once and with its meaning; and what was named in them."""
    found: dict[str, str] = {}
    lines: dict[str, str] = {}
    for line in text.split("\n"):
        for pattern, means in table:
            match = re.fullmatch(pattern, line.strip("\r\n ").strip())
            if match is not None and len(lines) < MOST_LINES:
                named = match.groupdict()
                shown = re.sub(r"(?<=CONNECTED)\(\w+\)| \(_ssl\.c:\d+\)", "", named.pop("shown", match[0]))
                found |= {key: value for key, value in named.items() if value and key not in found}
                lines.setdefault(shown, means)
                break
    return found, tuple(lines.items())


def _shown(words: Sequence[str]) -> str:
    """The command line with the lab's own names in place of this machine's paths."""
    return " ".join("ca.pem" if word.endswith("/ca.pem") else word for word in words)


def cipher_of(said: ToolSaid) -> str:
    """The cipher by its standard name: each tool has its own."""
    return standard_name(said.cipher)
