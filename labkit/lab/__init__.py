"""The lab: hosts, names, one clock, one agenda, one journal.

WHAT       `partners(...)` makes the world of the tour: two domains, two MTAs, a laptop and a nameserver.
READ NEXT  clock.py, agenda.py, journal.py, host.py, scenarios.py, world.py
"""
