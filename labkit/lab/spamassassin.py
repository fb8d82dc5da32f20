"""SpamAssassin's spamd as a program of a host: found if installed, started as an ordinary user, without network.

DOES       gives it a folder of its own (var/spool/spamd on the host's disk) for its configuration and its state, and
           listens where the host's 127.0.0.1 really is; what it says is in its `log`.
RULES      -L: it asks no DNS and no other service. Nothing is fetched: the rules are those that the package brought.
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
from labkit.lab.scorers import FilterFailed, Serving
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
    host: Host, port: int, tell: Callable[[str], None], settings: str, children: int
) -> Serving:
    """Start it and wait until it answers. `settings` are lines for its local.cf. Raises FilterFailed."""
    program = find_spamd()
    place = host.world.real(host.address, port)
    folder = await asyncio.to_thread(_prepare, host.path(_FOLDER), _SETTINGS + settings)
    user = (UID, UID) if os.geteuid() == 0 else None
    supervisor = Supervisor()
    await supervisor.start()
    begun = time.monotonic()
    tell("spamd starts: it reads its rules, which takes a few seconds")
    try:
        daemon = await supervisor.spawn(
            _words(program, folder, place, children), env=_environment(folder), user=user
        )
        await _until_it_answers(daemon, place, tell, begun)
    except BaseException:
        await supervisor.close()
        raise
    served = Serving(host, port, "SpamAssassin's spamd", supervisor.close)
    served.started_in = time.monotonic() - begun
    tell(f"spamd answers after {served.started_in:.1f} s")
    return served


def _prepare(folder: Path, settings: str) -> Path:
    """Its folder, which the user who runs it may enter: plugins as the package has them, settings of ours."""
    site, state = folder / "site", folder / "state"
    for each in (site, state):
        each.mkdir(parents=True, exist_ok=True)
    for file in sorted(PLUGINS.glob("*.pre")):
        shutil.copyfile(file, site / file.name)
    (site / "local.cf").write_text(settings, encoding="utf-8")
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


def _words(program: Path, folder: Path, place: tuple[str, int], children: int) -> list[str]:
    return [
        str(program),
        *("--local", "--nouser-config", "--listen", place[0], "--port", str(place[1])),
        *("--allowed-ips", "127.0.0.0/8", "--syslog", "stderr", "--max-children", str(children)),
        *("--min-children", str(children), "--max-spare", str(children)),
        f"--helper-home-dir={folder / 'state'}",
        f"--siteconfigpath={folder / 'site'}",
        *((f"--configpath={RULES}",) if RULES.is_dir() else ()),
    ]


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
