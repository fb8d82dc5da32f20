"""The vocabulary of the house: what everybody else talks about.

WHAT       addresses, envelopes, messages, replies, questions and events, as plain values.
RULES      pure: no I/O, no clock, no randomness; imports nothing else of ours.
READ NEXT  address.py, envelope.py, message.py, reply.py, asking.py, questions.py, encryption.py, event.py
"""
