"""What must hold for a mailbox before a message goes into it.

WHAT       `MailboxRules`: the decided options of an appendfile transport that concern files, locks and sizes.
WHY HERE   delivery decides them, net keeps them.
READ NEXT  the room delivery
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MailboxRules:
    """How a mailbox may be made, opened and locked. Times are seconds."""

    mode: int = 0o600
    directory_mode: int = 0o700
    creates_folders: bool = True
    creates: bool = True  # a file may be made where it is to be
    below: str = ""  # made only if this folder is really above it, whatever symbolic links there are
    must_exist: bool = False
    refuses_narrower: bool = True  # a file that has fewer permissions than `mode`
    checks_owner: bool = True
    checks_group: bool = False
    follows_links: bool = False  # the file may be a symbolic link
    takes_fifo: bool = False
    uses_lock_file: bool = True
    uses_fcntl: bool = True
    uses_flock: bool = False
    lock_file_mode: int = 0o600
    lock_file_lasts: float = 30 * 60  # then its owner has crashed; 0: it never has
    lock_retries: int = 10
    lock_interval: float = 3
    fills_gap: bool = True  # a blank line parts the message from what is there, whatever that ends in
