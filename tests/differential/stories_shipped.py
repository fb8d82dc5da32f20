"""Stories of configurations that come with Exim: the example of its authors, and Debian's."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from labkit.eximconf.reader import ConfigurationError

from .stage import ANN, BOB, MINE, PARTNER, Lab, host
from .story import story

EXAMPLE = Path("/usr/share/doc/exim4-base/examples/example.conf")
DEBIAN = Path("/etc/exim4")


def example() -> str:
    """Exim's example configuration."""
    for path in (EXAMPLE, EXAMPLE.with_suffix(".conf.gz")):
        if path.exists():
            octets = path.read_bytes()
            return (gzip.decompress(octets) if path.suffix == ".gz" else octets).decode()
    pytest.skip(f"Exim's example configuration is not installed here: {EXAMPLE}")


@story()
async def example_configuration(lab: Lab) -> None:
    """It is enough to say which domains are ours, and who may send: two hosts exchange mail."""
    text = example()
    hosts = []
    for name, account, laptop in ((MINE, "ann", "198.51.100.11"), (PARTNER, "bob", "198.51.100.2")):
        domain = name.removeprefix("mx2.")
        own = text.replace("domainlist local_domains = @\n", f"domainlist local_domains = @ : {domain}\n")
        own = own.replace(
            "hostlist   relay_from_hosts = localhost\n",
            f"hostlist   relay_from_hosts = localhost : {laptop}\n",
        )
        assert sum(a != b for a, b in zip(own.split("\n"), text.split("\n"))) == 2
        hosts.append(host(name, own, account))
    async with lab.world(*hosts, files={f"{MINE}/etc/aliases": "", f"{PARTNER}/etc/aliases": ""}) as world:
        await world.mine.send(ANN, BOB, f"From: {ANN}\nTo: {BOB}\nSubject: there\n\nhello\n")
        await world.partner.send(BOB, ANN, f"From: {BOB}\nTo: {ANN}\nSubject: back\n\nhello\n")
        (there,), (back,) = world.partner.mailbox("bob"), world.mine.mailbox("ann")
        assert (there.first("Subject"), back.first("Subject")) == ("there", "back")
        replies = await lab.call(
            world.mine, "EHLO c.test", "MAIL FROM:<>", f"RCPT TO:<{BOB}>", "RCPT TO:<carl@st11.sne21.test>"
        )
        assert replies[3] == "550 relay not permitted"
        assert replies[4] == "550 Unknown user"


def debian() -> str:
    """What Debian's update-exim4.conf makes for an internet site with Ann's domain.

    It writes into a folder of its own: nothing of this machine is changed.
    """
    program = shutil.which("update-exim4.conf", path="/usr/sbin:/sbin")
    if program is None or not DEBIAN.is_dir():
        pytest.skip("update-exim4.conf is not installed here: this is no Debian")
    with tempfile.TemporaryDirectory(prefix="labkit-") as temporary:
        folder = Path(temporary)
        shutil.copytree(DEBIAN / "conf.d", folder / "conf.d")
        shutil.copyfile(DEBIAN / "exim4.conf.template", folder / "exim4.conf.template")
        settings = {
            "dc_eximconfig_configtype": "internet",
            "dc_other_hostnames": "st11.sne21.test",
            "dc_local_interfaces": "",
            "dc_relay_nets": "198.51.100.11",
        }
        text = (DEBIAN / "update-exim4.conf.conf").read_text()
        for name, value in settings.items():
            text = re.sub(rf"^{name}=.*$", f"{name}='{value}'", text, flags=re.MULTILINE)
        (folder / "update-exim4.conf.conf").write_text(text)
        made = folder / "made.conf"
        subprocess.run([program, "-d", folder, "-o", made], check=True, capture_output=True, timeout=30)
        return made.read_text()


@story(
    lacks="syntax_errors_to of Debian's redirect routers", raises=ConfigurationError, word="real Exim only"
)
async def debian_configuration(lab: Lab) -> None:
    """Debian's own configuration is read, and takes mail for Ann."""
    async with lab.world(host(MINE, debian(), "ann"), files={f"{MINE}/etc/aliases": ""}) as world:
        replies = await lab.call(
            world.mine, "EHLO c.test", "MAIL FROM:<>", f"RCPT TO:<{ANN}>", f"RCPT TO:<{BOB}>"
        )
        assert replies[3] == "250 Accepted"
        assert replies[4] == "550 relay not permitted"
