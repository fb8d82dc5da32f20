"""Letters with known words, for the filter's tests."""

from __future__ import annotations

HAM = ["meeting", "dinner", "exercise", "server", "thanks", "timetable", "library", "report"]
SPAM = ["pills", "casino", "winner", "invoice", "urgent", "crypto", "discount", "lottery"]


def letter(*words: str, subject: str = "", sender: str = "ann@a.test") -> bytes:
    """A small message of these words."""
    return f"From: {sender}\r\nSubject: {subject}\r\n\r\n{' '.join(words)}\r\n".encode()


def with_field(name: str, value: str, body: str = "") -> bytes:
    return f"{name}: {value}\r\n\r\n{body}".encode()
