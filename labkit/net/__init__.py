"""All input and output of the house: sockets, names, files.

WHAT       the network (loopback sockets or memory), SMTP shells, nameserver and resolver, spool, mailboxes.
RULES      translates, decides nothing. Imports of ours: mail, smtp, queue.
READ NEXT  network.py, smtp_server.py, smtp_client.py, dns_server.py, resolver.py, spool.py, mailboxes.py
"""
