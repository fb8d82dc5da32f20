"""What a transport will do with a message, decided but not yet done.

WHAT       plans: connect to these hosts, or append these bytes to that file.
RULES      pure; the room net carries the plans out.
READ NEXT  generic.py
"""
