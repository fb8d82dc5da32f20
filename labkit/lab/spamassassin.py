"""SpamAssassin's spamd as a program of a host: found if installed, started as an ordinary user, without network.

DOES       gives it a folder of its own (var/spool/spamd on the host's disk) for its configuration and its state, and
           listens where the host's 127.0.0.1 really is; what it says is in its `log`.
RULES      --local: it asks no DNS and no other service. Nothing is fetched: its rules are those of the package.
           With a `blocklist` it asks the lab's own nameserver about that list, and about nothing else.
           spamd wants the name of each client that calls, from the machine's resolver; QUIET keeps it from asking.
           A supervisor of its own looks after it, so that it ends with this process whatever happens.
READ NEXT  scorers.py
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.lab.programs import UID
from labkit.lab.scenarios import is_domain
from labkit.lab.scorers import FilterFailed, Serving
from labkit.mail.visible import visible
from labkit.net.programs.supervised import Daemon, Supervisor

if TYPE_CHECKING:
    from labkit.lab.host import Host

PLACES = ("/usr/sbin/spamd", "/usr/bin/spamd")
RULES, PLUGINS = Path("/usr/share/spamassassin"), Path("/etc/spamassassin")
CHILDREN = 2
START = 60.0  # seconds of real time until it listens; it takes about one
_FOLDER = "var/spool/spamd"
_OFTEN = 0.05
_SETTINGS = "use_bayes 0\nuse_auto_whitelist 0\nscore NO_RELAYS 0\n"
# 198.18.0.0/15 and its like are no illegal addresses here
_ASK_THE_LAB = """dns_server [{address}]:{port}
dns_available yes
dns_query_restriction deny *
dns_query_restriction allow {zone}
rbl_timeout 3
skip_uribl_checks 1
use_razor2 0
use_pyzor 0
use_dcc 0
trusted_networks {host}
internal_networks {host}
score RCVD_ILLEGAL_IP 0
header RCVD_IN_LAB_LIST eval:check_rbl('lab-lastexternal', '{zone}.')
describe RCVD_IN_LAB_LIST The client is on the block list {zone}
tflags RCVD_IN_LAB_LIST net
score RCVD_IN_LAB_LIST {points:g}
"""
LISTED = 3.0  # points for a client that is on the list
# loaded before spamd: a caller is told by his address, and no resolver is asked for a name
QUIET = """package LabkitQuiet;
BEGIN {
  *CORE::GLOBAL::gethostbyaddr = sub { return };
  eval { require IO::Socket::IP; no warnings; *IO::Socket::IP::peerhostname = sub { $_[0]->peerhost } };
  eval { require Socket; my $real = \\&Socket::getnameinfo; no warnings;
         my $flags = Socket::NI_NUMERICHOST() | Socket::NI_NUMERICSERV();
         *Socket::getnameinfo = sub { $real->($_[0], $flags, @_[2 .. $#_]) } };
}
1;
"""
HOW_TO_INSTALL = (
    "SpamAssassin's spamd is not installed: apt install spamassassin spamd; "
    "no service has to run. Without it, serve a scorer of your own: host.serve_spamd(scorer)"
)


class SpamdMissing(FilterFailed):
    """There is no spamd on this machine; the text says how to get it."""


def find_spamd() -> Path:
    """Raises SpamdMissing."""
    for place in (*PLACES, shutil.which("spamd") or ""):
        if place and os.access(place, os.X_OK):
            return Path(place)
    raise SpamdMissing(HOW_TO_INSTALL)


async def serve_spamassassin(
    host: Host, port: int, tell: Callable[[str], None], settings: str, children: int, blocklist: str = ""
) -> Serving:
    """Start it and wait until it answers. `settings` are lines for its local.cf. Raises FilterFailed."""
    program = find_spamd()
    place = host.world.real(host.address, port)
    ours = _settings(host, blocklist) + settings
    folder = await asyncio.to_thread(_prepare, host.path(_FOLDER), ours)
    user = (UID, UID) if os.geteuid() == 0 else None
    supervisor = Supervisor()
    await supervisor.start()
    begun = time.monotonic()
    tell("spamd starts: it reads its rules, which takes a few seconds")
    try:
        daemon = await supervisor.spawn(
            _words(program, folder, place, children, is_local=not blocklist),
            env=_environment(folder),
            user=user,
        )
        await _until_it_answers(daemon, place, tell, begun)
    except BaseException:
        await supervisor.close()
        raise
    served = Serving(host, port, "SpamAssassin's spamd", supervisor.close)
    served.started_in = time.monotonic() - begun
    tell(f"spamd answers after {served.started_in:.1f} s")
    return served


def _settings(host: Host, blocklist: str) -> str:
    """What local.cf says before the user's own lines."""
    who = f"report_hostname {host.name}\nreport_contact postmaster@{host.name.partition('.')[2]}\n"
    if not blocklist:
        return _SETTINGS + who
    if not is_domain(blocklist):
        raise FilterFailed(f"{visible(blocklist[:60])!r} is no name of a block list: write bl.test")
    address, port = host.world.real(host.world.scenario.nameserver, 53)
    lines = _ASK_THE_LAB.format(address=address, port=port, zone=blocklist, host=host.address, points=LISTED)
    return _SETTINGS + who + lines


def _prepare(folder: Path, settings: str) -> Path:
    """Its folder, which the user who runs it may enter: plugins as the package has them, settings of ours."""
    site, state = folder / "site", folder / "state"
    for each in (site, state):
        each.mkdir(parents=True, exist_ok=True)
    for file in sorted(PLUGINS.glob("*.pre")):
        shutil.copyfile(file, site / file.name)
    (site / "local.cf").write_text(settings, encoding="utf-8")
    (site / "LabkitQuiet.pm").write_text(QUIET, encoding="utf-8")
    if os.geteuid() == 0:
        for each in (folder, site, state, *site.iterdir()):
            os.chown(each, UID, UID)
        for each in folder.parents:
            mode = each.stat().st_mode
            if not mode & 0o001:
                os.chown(each, -1, UID)
                each.chmod(mode | 0o010)
            if each == folder.parents[3]:  # the folder of the world
                break
    return folder


def _words(
    program: Path, folder: Path, place: tuple[str, int], children: int, *, is_local: bool = True
) -> list[str]:
    return [
        *_quietly(program, folder / "site"),
        *(("--local",) if is_local else ()),
        *("--nouser-config", "--listen", place[0], "--port", str(place[1])),
        *("--allowed-ips", "127.0.0.0/8", "--syslog", "stderr", "--max-children", str(children)),
        *("--min-children", str(children), "--max-spare", str(children)),
        f"--helper-home-dir={folder / 'state'}",
        f"--siteconfigpath={folder / 'site'}",
        *((f"--configpath={RULES}",) if RULES.is_dir() else ()),
    ]


def _quietly(program: Path, site: Path) -> list[str]:
    """How its first line wants to be run, with QUIET before it; as it is, if it is not written in Perl."""
    with open(program, "rb") as stream:
        first = stream.readline(200)
    words = first[2:].decode("ascii", "replace").split() if first.startswith(b"#!") else []
    if not words or not Path(words[0]).name.startswith("perl"):
        return [str(program)]
    return [*words, f"-I{site}", "-MLabkitQuiet", str(program)]


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder / "state"), "TZ": "UTC", "LANG": "C"}


async def _until_it_answers(
    daemon: Daemon, place: tuple[str, int], tell: Callable[[str], None], begun: float
) -> None:
    """Raises FilterFailed."""
    said = begun
    while time.monotonic() - begun < START and daemon.is_running:
        try:
            reader, writer = await asyncio.open_connection(*place)
            try:
                writer.write(b"PING SPAMC/1.2\r\n\r\n")
                if b"PONG" in await asyncio.wait_for(reader.read(100), 5):
                    return
            finally:
                writer.close()
        except (OSError, asyncio.TimeoutError, TimeoutError):
            await asyncio.sleep(_OFTEN)
        if time.monotonic() - said >= 2:
            said = time.monotonic()
            tell(f"spamd reads its rules: {said - begun:.0f} s")
    outcome = await daemon.stop()
    words = (outcome.stderr or outcome.stdout).decode("utf-8", "replace").strip()[-300:]
    raise FilterFailed(f"spamd does not start: {words or 'it does not say why'}")
