"""Stories of rewriting: the envelope and the header of what comes in, aliases, a verified sender, SMTP arguments."""

from __future__ import annotations

from .configurations import OTHERS, OURS, exim_conf
from .stage import ANN, MINE, STRANGER, Lab, host
from .story import story

RULES = """
begin rewrite
^<?(.*)!(.*[^>])>?\\$  <$1@$2.test>  S
*@old.st11.sne21.test  $1@st11.sne21.test
*@secret.st11.sne21.test  "The Office <office@st11.sne21.test>"  whfc
boss@st11.sne21.test  ann@st11.sne21.test  T
*@stranger.test  "${if eq {$local_part}{eve}{mallory@stranger.test}fail}"  F
"""
ALIASES = """\
aliases:
  driver = redirect
  data = ${lookup{$local_part}lsearch{/etc/aliases}}
"""


@story()
async def addresses_rewritten(lab: Lab) -> None:
    """An old domain, a name for an office, an alias that is rewritten in turn."""
    domains = "st11.sne21.test : old.st11.sne21.test"
    configuration = exim_conf(MINE, routers=OTHERS + ALIASES + OURS, local_domains=domains) + RULES
    files = {f"{MINE}/etc/aliases": "info: carl@old.st11.sne21.test\n"}
    async with lab.world(host(MINE, configuration, "ann", "carl"), files=files) as world:
        top = f"From: Eve <eve@secret.st11.sne21.test>\r\nTo: ann@old.st11.sne21.test, {ANN}\r\nSubject: one\r\n\r\n"
        letter = top.encode() + b"hello\r\n"
        for recipient in ("ann@old.st11.sne21.test", "boss@st11.sne21.test", "info@st11.sne21.test"):
            said = await lab.submit(world.mine, recipient, letter, source=STRANGER)
            assert said.startswith("250")
        first, second = world.mine.mailbox("ann")
        assert first.first("From") == "The Office <office@st11.sne21.test>"
        assert first.first("To") == f"{ANN}, {ANN}"
        assert {first.first("Envelope-to"), second.first("Envelope-to")} == {ANN}
        (third,) = world.mine.mailbox("carl")
        assert third.first("Envelope-to") == "info@st11.sne21.test"


@story()
async def sender_rewritten_when_verified(lab: Lab) -> None:
    """Verifying the sender rewrites it: the list goes on with the new one; and SMTP arguments are rewritten first."""
    acl = """\
check_rcpt:
  require verify = sender
  warn    log_message = now it is $sender_address
          !senders = :
  require verify = recipient
  accept
"""
    configuration = exim_conf(MINE, acl=acl, routers=OURS) + RULES
    async with lab.world(host(MINE, configuration, "ann", "carl")) as world:
        replies = await lab.call(
            world.mine,
            "EHLO c.test",
            "MAIL FROM:<carl@old.st11.sne21.test>",
            f"RCPT TO:<{ANN}>",
            "RCPT TO:<boss@st11.sne21.test>",
            "RCPT TO:<ghost@old.st11.sne21.test>",
            "RSET",
            "MAIL FROM:carl!st11.sne21",
            "RCPT TO:<ann!st11.sne21>",
        )
        assert replies[2:5] == ["250 OK", "250 Accepted", "250 Accepted"]
