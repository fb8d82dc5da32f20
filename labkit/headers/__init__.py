"""The headers room: reading and explaining message headers, whoever wrote them.

`dissect(message)` takes one apart: each field with its kind, who wrote it and a sentence; the hops with their delays;
the boundary beyond which a stranger could have invented it all; and what is remarkable. `fast.survey(header)` reads a
few facts of it, for a hundred thousand messages.

READ NEXT  dissect.py, fast.py
"""

from labkit.headers.dissect import Dissection, dissect
from labkit.headers.findings import Finding, Weight
from labkit.headers.trust import Trust
from labkit.headers.values import Field, Hop, Kind, ReadDate, Received, Writer

__all__ = [
    "Dissection",
    "Field",
    "Finding",
    "Hop",
    "Kind",
    "ReadDate",
    "Received",
    "Trust",
    "Weight",
    "Writer",
    "dissect",
]
