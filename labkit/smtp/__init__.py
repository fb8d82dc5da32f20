"""Both sides of an SMTP conversation, as machines that touch no network.

WHAT       bytes go in, bytes come out; the same machine runs over a socket, in memory, or under a student's finger.
STANDARDS  RFC 5321, RFC 2920 (PIPELINING), RFC 1870 (SIZE), RFC 6152 (8BITMIME); replies in Exim's words
READ NEXT  states.py, decisions.py, commands.py, server.py, client.py, acl.py, trace_fields.py
"""
