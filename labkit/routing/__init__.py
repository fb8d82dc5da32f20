"""Where a message goes: routers in the order of the file, each taking an address or passing it on.

WHAT       `route` walks the routers; dnslookup asks for mail exchangers, accept gives to a transport.
RULES      pure: DNS records and accounts are asked for.
READ NEXT  mx.py, routers.py
"""
