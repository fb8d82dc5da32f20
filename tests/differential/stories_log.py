"""Stories of the main log: both engines write the same lines, by default and with much of log_selector."""

from __future__ import annotations

import re

from labkit.lab.host import Host

from .configurations import OTHERS, OURS, exim_conf
from .stage import BOB, LAPTOP, MINE, PARTNER, STRANGER, Lab, host, message
from .story import story

ALIASES = """\
aliases:
  driver = redirect
  allow_fail
  data = ${lookup{$local_part}lsearch{/etc/aliases}}
"""
NAMES = """postmaster: root
root: ann
gone: :fail: moved
all: ann, carl, far
far: bob@st2.sne21.test
"""
MUCH = """\
log_selector = +8bitmime +all_parents +incoming_interface \\
  +queue_time_overall +received_recipients +received_sender +return_path_on_delivery +sender_on_delivery +subject \\
  +msg_id_created +address_rewrite
"""
# what a daemon, a connection or a queue run says of itself is not compared here
_ABOUT_ITSELF = re.compile(
    r"daemon started|Start queue run|End queue run|SMTP connection from|daemon stopped|no host name"
)


def lines_of(of: Host) -> list[str]:
    """The main log, message by message, without dates and octets of messages."""
    lines = [line for line in of.log().split("\n") if not _ABOUT_ITSELF.search(line)]
    lines.sort(key=lambda line: found[0] if (found := re.match(r"\S{6}-\S{6}-\S{2} ", line[20:])) else "")
    lines = [re.sub(r" X=TLS\S+", " X=TLS", line) for line in lines]  # GnuTLS has names of its own
    lines = [re.sub(r" byte chunk, total \d+", " byte chunk", line) for line in lines]
    return [re.sub(r"(S=|250- )\d+", r"\1N", line[20:]) for line in lines]


async def _tell(lab: Lab, main: str) -> None:
    mine = exim_conf(MINE, main, routers=OTHERS + ALIASES + OURS)
    files = {f"{MINE}/etc/aliases": NAMES}
    theirs = exim_conf(PARTNER, main)
    async with lab.world(host(MINE, mine, "ann", "carl"), host(PARTNER, theirs, "bob"), files=files) as world:
        await lab.submit(world.mine, "postmaster@st11.sne21.test", message("to an alias"), source=STRANGER)
        await lab.submit(world.mine, BOB, message("to another host"))
        await lab.submit(world.mine, "all@st11.sne21.test", message("to many"), source=STRANGER)
        await lab.call(
            world.mine,
            "EHLO c.test",
            f"MAIL FROM:<{BOB}>",
            "RCPT TO:<gone@st11.sne21.test>",
            "RCPT TO:<x@y.test>",
        )
        await lab.submit(world.mine, "nobody.there@st2.sne21.test", message("to nobody"), source=LAPTOP)
        for each in (world.mine, world.partner):
            lab.note(f"the log of {each.name}", *lines_of(each))


@story()
async def log_by_default(lab: Lab) -> None:
    """An alias, another host, a list, two refusals, a bounce."""
    await _tell(lab, "")


@story()
async def log_with_much(lab: Lab) -> None:
    """The same, with many items of log_selector."""
    await _tell(lab, MUCH)
