"""When did a process begin? So that another one that was given its number later is not taken for it.

STANDARDS  proc(5), /proc/pid/stat
READ NEXT  doorplate.py, private_folder.py
"""

from __future__ import annotations

import os
from pathlib import Path


def began(pid: int) -> str:
    """When a process began, as the kernel counts it. "" if there is none.

    Where there is no /proc, nothing more is known than that it lives.
    """
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return "" if Path("/proc/self/stat").exists() or not _is_there(pid) else "alive"
    return line[line.rfind(b")") + 2 :].split()[19].decode("ascii")


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
