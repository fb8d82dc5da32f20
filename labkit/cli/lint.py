"""`labkit lint FILE...`: read configuration files; say what is wrong, what is doubtful, or that nothing is.

DECIDES    what is wrong keeps a host from starting; what is doubtful does not, but the host stumbles over it later.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from labkit.eximconf.configuration import reading
from labkit.eximconf.reader import ConfigurationError
from labkit.mail.asking import answer_by
from labkit.mta.compiled import compile_configuration
from labkit.net.file_text import file_text

HOST = "host.example.test"  # stands in for the host that the file is for
ADDRESS = "192.0.2.1"


def lint(files: Sequence[str]) -> int:
    """Read each file as a host would. Returns 0 if all can be run, else 1."""
    status = 0
    for file in files:
        try:
            with open(file, encoding="utf-8", newline="") as opened:
                asking = reading(opened.read(), file)
            configuration = answer_by(partial(file_text, root=Path("/"), beside=Path.cwd()), asking)
            compiled = compile_configuration(configuration, HOST, (ADDRESS,), root=Path("/"), thorough=True)
        except ConfigurationError as problem:
            print(problem, file=sys.stderr)
            status = 1
        except OSError as problem:
            print(f"{file}: {problem.strerror}", file=sys.stderr)
            status = 1
        except UnicodeDecodeError as problem:
            line = problem.object[: problem.start].count(b"\n") + 1
            print(f"{file}, line {line}: {problem}\n  write the file anew as UTF-8", file=sys.stderr)
            status = 1
        else:
            for doubt in compiled.doubts:
                print(f"doubtful: {doubt}", file=sys.stderr)
            print(f"{file}: labkit can run it{', with doubts' if compiled.doubts else ''}")
    return status
