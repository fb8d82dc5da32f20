"""What `@` and `@[]` stand for in a list: the name and the addresses of this host; and where its database is.

READ NEXT  expansion/env.py
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Here:
    """This host: its primary_hostname, and the addresses of its interfaces (local_interfaces)."""

    primary_hostname: str
    addresses: tuple[str, ...] = ()
    sqlite_file: str = ""  # sqlite_dbfile: of queries that name no file
