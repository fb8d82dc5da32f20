"""Put a file in the place of another, at once: who reads it meanwhile gets one of them whole.

SAFE       the new file is begun by us and has its mode from its first octet on; what was there is not followed.
READ NEXT  authority.py, certificates.py, policy_agent.py
"""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, content: bytes | str, mode: int) -> None:
    """Write `path` anew, with these octets or this text. Raises OSError."""
    octets = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(octets)
    draft.chmod(mode)  # whatever the umask
    os.replace(draft, path)
