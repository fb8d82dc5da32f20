"""What `spam =` is given: the option spamd_address, and the message as it is when somebody looks.

LIKE EXIM  lines end by LF as in the spool; the header has what ACLs before this one have added
READ NEXT  session.py
"""

from __future__ import annotations

from collections.abc import Callable

from labkit.eximconf.configuration import Options
from labkit.eximconf.expansion import compile_text
from labkit.eximconf.place import Place
from labkit.mail.message import Message
from labkit.smtp.acl.scene import SpamWishes

_USUAL = "127.0.0.1 783"


def wishes(main: Options, message: Callable[[], Message]) -> SpamWishes:
    """`message` gives what is being received."""
    address = main.text("spamd_address") or _USUAL
    return SpamWishes(compile_text(address, Place("spamd_address", 1)), lambda: _as_spooled(message()))


def _as_spooled(message: Message) -> bytes:
    """A message without an empty line behind its header gets one."""
    content = bytes(message)
    header = content[: len(content) - len(message.body) - len(message.separator)]
    return (header + b"\r\n" + message.body).replace(b"\r\n", b"\n")
