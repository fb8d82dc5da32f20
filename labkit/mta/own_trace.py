"""The Received field in a configuration's own words: received_header_text.

DECIDES    a text that expands to nothing: no field is added
LIKE EXIM  a semicolon and the date follow the text; $received_for is the recipient, if there is only one
STANDARDS  RFC 5321 §4.4; Exim specification, chapter "Main configuration" (received_header_text)
READ NEXT  session.py
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from labkit.eximconf.configuration import Options
from labkit.eximconf.expansion import Env, Value
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking
from labkit.mail.dates import header_date
from labkit.mail.fields import fields_of
from labkit.mail.message import HeaderField, Message
from labkit.mta.server_tls import written


def traced(
    message: Message,
    usual: HeaderField,
    main: Options,
    env: Env,
    recipients: Sequence[Mailbox],
    now: datetime,
) -> Asking[Message]:
    """The message with its Received field on top: `usual`, unless the configuration has words of its own."""
    text = main.expansion("received_header_text")
    if text is None or written(main, "received_header_text") is None:
        return message.prepend(usual)
    env.variables["received_for"] = str(recipients[0]) if len(recipients) == 1 else ""
    outcome = yield from text.asking(env)
    env.variables.pop("received_for", None)
    if not isinstance(outcome, Value):
        raise RuntimeError(f"received_header_text cannot be expanded: {outcome.message}")
    for field in fields_of(f"{outcome.text};\n\t{header_date(now)}" if outcome.text else ""):
        message = message.prepend(field)
    return message
