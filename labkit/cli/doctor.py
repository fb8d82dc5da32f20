"""`labkit doctor`: what this machine has for the lab, and what to install for the rest.

WHAT       one line for each: the network, the real Exim and what it was built with, the shim that puts other programs
           into the lab, and the programs that the course names. Nothing here is needed for the rest to work.
READ NEXT  lint.py
"""

from __future__ import annotations

import shutil
import subprocess

from labkit.net.network import LoopbackUnavailable
from labkit.net.port_base import claim_base
from labkit.net.programs.exim_found import EximMissing, find_exim
from labkit.net.programs.shim import ShimUnavailable, build_shim

PROGRAMS = {  # and the package of Debian and Ubuntu that has it
    "swaks": "swaks",
    "dig": "bind9-dnsutils",
    "openssl": "openssl",
    "nc": "netcat-openbsd",
    "gpg": "gnupg",
    "spamd": "spamd",
    "bogofilter": "bogofilter",
}
DAEMONS = "/usr/local/sbin:/usr/sbin:/sbin"  # a user's PATH may lack them


def doctor() -> int:
    """Say what was found. Returns 0 if everything was, else 1."""
    findings = [_network(), _exim(), _shim(), *map(_program, PROGRAMS), *map(_module, MODULES)]
    for is_well, words in findings:
        print(f"{'ok     ' if is_well else 'missing'}  {words}")
    return 0 if all(is_well for is_well, _ in findings) else 1


MODULES = {  # of Perl, for swaks
    "Net::SSLeay": ("swaks with TLS", "libnet-ssleay-perl"),
    "Net::DNS": ("swaks that looks up MX records", "libnet-dns-perl"),
}


def _module(name: str) -> tuple[bool, str]:
    use, package = MODULES[name]
    perl = shutil.which("perl")
    if (
        perl is None
        or subprocess.run([perl, f"-M{name}", "-e", "1"], capture_output=True, check=False).returncode
    ):
        return False, f"{use}: on Debian and Ubuntu: sudo apt-get install {package}"
    return True, f"{use}: Perl has {name}"


def _network() -> tuple[bool, str]:
    try:
        claim_base().close()
    except LoopbackUnavailable as problem:
        return False, f"real sockets: {problem} The lab runs in memory."
    return True, "real sockets: other programs can take part"


def _exim() -> tuple[bool, str]:
    try:
        return True, str(find_exim()).replace("\n", "\n         ")
    except EximMissing as problem:
        return False, str(problem)


def _shim() -> tuple[bool, str]:
    try:
        build_shim()
    except ShimUnavailable as problem:
        return False, f"labkit run, ./lab shell and the real Exim: {problem}"
    return True, "labkit run, ./lab shell: programs can live in the lab"


def _program(name: str) -> tuple[bool, str]:
    found = shutil.which(name) or shutil.which(name, path=DAEMONS)
    if found is None:
        return False, f"{name}: on Debian and Ubuntu: sudo apt-get install {PROGRAMS[name]}"
    return True, f"{name} at {found}"
