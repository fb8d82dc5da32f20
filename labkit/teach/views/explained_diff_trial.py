"""What happens when one change is forgotten: the host is tried without it, then has its configuration back.

WHAT       `await forgetting(host, example, edits)` leaves out one edit after the other and asks the host by SMTP, as
           three different clients would. It stops before DATA: nobody gets mail by it.
RULES      what is shown are the host's own replies. Afterwards the host runs by the configuration it had.
READ NEXT  ../tasks/deliver.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.lab.host import Host
from labkit.lab.laptop import Laptop
from labkit.teach.markup import Markup
from labkit.teach.tables import table, text_table
from labkit.teach.view import View
from labkit.teach.views.explained_diff import Edit, edited


@dataclass(frozen=True, slots=True)
class Trial:
    """A way to use the host: who calls, from which address and for whom."""

    title: str
    client: Laptop
    sender: str
    recipient: str


async def replies_to(host: Host, client: Laptop, sender: str, recipients: Sequence[str]) -> dict[str, str]:
    """What the host answers to RCPT, as if that laptop called: for each recipient the whole reply.

    On labkit's MTA a session of its own, on the real Exim `exim -bh`. A recipient stands as in RCPT TO:<...>.
    """
    lines = [
        f"EHLO {client.name}",
        f"MAIL FROM:<{sender}>",
        *(f"RCPT TO:<{each}>" for each in recipients),
        "QUIT",
    ]
    if host.engine.name == "exim":
        typed = "".join(f"{line}\r\n" for line in lines)
        output = await host.exim("-bh", client.address, stdin=typed)
        answers = _final(output.text.splitlines())
    else:
        session, said = host.open_session(client), list[str]()
        said += [exchange.text for exchange in await session.banner()]
        for line in lines:
            said += [exchange.text for exchange in await session.type(line) if exchange.speaker == "S"]
        answers = _final(said)
    return dict(zip(recipients, answers[3:]))  # after the banner, EHLO and MAIL


def _final(lines: Sequence[str]) -> list[str]:
    """The last lines of replies: three digits and a blank."""
    return [line.strip() for line in lines if line[:3].isdecimal() and line[3:4] == " "]


async def forgetting(
    host: Host,
    example: str,
    edits: Sequence[Edit],
    left_out: Sequence[Edit] | None = None,
    trials: Sequence[Trial] = (),
) -> Forgotten:
    """Try the host with all edits, and then without each of those `left_out` (all of them, if nothing is said)."""
    trials = trials or usual_trials(host)
    before = host.configuration
    rows = []
    try:
        for forgotten in dict.fromkeys((None, *(edits if left_out is None else left_out))):
            host.write_configuration(edited(example, [edit for edit in edits if edit != forgotten]))
            await host.reload()
            said: list[str] = []
            for trial in trials:
                said += (await replies_to(host, trial.client, trial.sender, [trial.recipient])).values()
            rows.append(("nothing" if forgotten is None else forgotten[1], *said))
    finally:
        host.write_configuration(before)
        await host.reload()
    return Forgotten(tuple(trials), rows)


def usual_trials(host: Host) -> tuple[Trial, ...]:
    """The partner writes to the student, and the student to the partner."""
    world = host.world
    mine, other = world.laptop, world.partner_laptop
    return (
        Trial(f"{other.owner} writes to {mine.owner}", other, other.owner, mine.owner),
        Trial(f"{mine.owner} writes to {other.owner}", mine, mine.owner, other.owner),
    )


class Forgotten(View):
    """For each line that was left out: what the host then answered."""

    def __init__(self, trials: Sequence[Trial], rows: Sequence[tuple[str, ...]]) -> None:
        self.head = ("forgotten", *(trial.title for trial in trials))
        self.rows = rows

    def html(self) -> Markup:
        return table(self.head, self.rows, "With one change forgotten", code=range(len(self.head)))

    def text(self) -> str:
        return text_table(self.head, self.rows, "With one change forgotten")
