"""Proving who somebody is: AUTH, by the authenticators of a configuration, on both sides.

STANDARDS  RFC 4954 (AUTH), RFC 4616 (PLAIN), RFC 2195 (CRAM-MD5); Exim specification, chapter "SMTP authentication"
READ NEXT  client.py
"""
