"""What went over the wire, to read and to save.

WHAT       `world.capture()` gives a `Capture` of all conversations so far, or of those between some machines.
DOES       `text()` is the dialogue with addresses and lab time; `save("talk.pcap")` writes a file for Wireshark.
READ NEXT  labkit/net/wire.py
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from labkit.lab.conversations import Conversation
from labkit.net.pcap import write_pcap
from labkit.net.talk import TCP, UDP, Talk
from labkit.net.wire import Wire
from labkit.smtp.pair import Exchange


@dataclass(frozen=True, slots=True, repr=False)
class Capture:
    """Conversations as they were on the wire, oldest first. TLS is there as it travelled: encrypted."""

    talks: tuple[Talk, ...]

    def __repr__(self) -> str:
        return self.text() or "(nothing was said)"

    def text(self) -> str:
        """Every conversation: who with whom and when, then its lines, "C: " and "S: "."""
        return "\n\n".join(talk.text() for talk in self.talks)

    def pcap(self) -> bytes:
        """The same as packets, in the format of libpcap."""
        segments = sorted(
            (s for talk in self.talks for s in talk.segments), key=lambda segment: segment.real_ns
        )
        file = io.BytesIO()
        write_pcap(segments, file)
        return file.getvalue()

    def save(self, path: str | Path) -> Path:
        """Write a file: `.pcap` opens in Wireshark, `.txt` in any editor.

        Raises ValueError for another ending, OSError.
        """
        target = Path(path)
        if target.suffix == ".pcap":
            target.write_bytes(self.pcap())
        elif target.suffix == ".txt":
            target.write_text(self.text() + "\n", encoding="utf-8")
        else:
            raise ValueError(f"{target.name}: a capture is saved as .pcap or .txt")
        return target


def captured(wire: Wire, between: Collection[str] = (), *, datagrams: bool = True) -> Capture:
    """What a wire has, as far as every address in `between` took part."""
    talks = [*wire.conversations(TCP), *(wire.conversations(UDP) if datagrams else ())]
    kept = [talk for talk in talks if set(between) <= {talk.client[0], talk.server[0]}]
    return Capture(tuple(sorted(kept, key=lambda talk: talk.segments[0].real_ns)))


def smtp_sessions(talks: Iterable[Talk], server: str, names: dict[str, str]) -> list[Conversation]:
    """The talks that a server had, as conversations. A wire tells nobody's state. `names` are those of addresses."""

    def named(address: str) -> str:
        return names.get(address, address)

    return [
        Conversation(
            named(talk.client[0]),
            named(server),
            tuple(Exchange(speaker, text, "", "") for speaker, text in talk.said()),
        )
        for talk in talks
        if talk.server[0] == server
    ]
