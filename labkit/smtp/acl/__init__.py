"""Access control lists: who may send what to whom, and with which words they are refused.

WHAT       `compile_acls(configuration)` makes the ACLs of a configuration; `Acls.run(which, scene)` asks what it has to
           know and gives an AclVerdict; the Scene is what an ACL looks at and what it leaves behind.
PURE       whatever has to be found out (is this recipient good? is the client listed?) is a question.
STANDARDS  Exim specification, chapter "Access control lists"
LIKE EXIM  4.96; the oracle tests hold dialogues against it
READ NEXT  phases.py, vocabulary.py, verdicts.py, scene.py, values.py, compiling.py, walking.py, acls.py
"""

from labkit.smtp.acl.acls import Acls, compile_acls
from labkit.smtp.acl.phases import Phase
from labkit.smtp.acl.rates import Rate, age_afterwards, counted
from labkit.smtp.acl.replies import rejected
from labkit.smtp.acl.scene import (
    AddedField,
    FakeAnswer,
    LogLine,
    MessageEffects,
    Scene,
    SessionEffects,
    Submission,
)
from labkit.smtp.acl.verdicts import AclStep, AclVerdict, Look, Result
from labkit.smtp.acl.verify_address import Wish
from labkit.smtp.acl.verify_client import client_name
from labkit.smtp.acl.verify_client import helo as verify_helo

__all__ = [
    "AclStep",
    "AclVerdict",
    "Acls",
    "AddedField",
    "FakeAnswer",
    "LogLine",
    "Look",
    "MessageEffects",
    "Phase",
    "Rate",
    "Result",
    "Scene",
    "SessionEffects",
    "Submission",
    "Wish",
    "age_afterwards",
    "client_name",
    "compile_acls",
    "counted",
    "rejected",
    "verify_helo",
]
