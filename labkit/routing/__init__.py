"""Where a message goes: routers in the order of the file, each taking an address or passing it on.

WHAT       compile_routers(configuration) makes Routers; they route, verify and test addresses.
RULES      pure: DNS records, files, accounts and callouts are asked for.
LIKE EXIM  4.96; the oracle test holds the output of -bt and -bv against it
READ NEXT  routers.py (the front door), way.py, compile.py, preconditions.py, walk.py, family.py; then a file for each
           driver: accept, dnslookup with mx, manualroute with host_list, redirect with redirect_data
"""

from labkit.routing.routers import (
    Mode,
    NextHop,
    Route,
    Routed,
    RouteOutcome,
    Routers,
    RouterStep,
    Trace,
    compile_routers,
)

__all__ = [
    "Mode",
    "NextHop",
    "Route",
    "RouteOutcome",
    "Routed",
    "RouterStep",
    "Routers",
    "Trace",
    "compile_routers",
]
