"""The filters room: what tells unwanted mail from wanted, explained and measured.

`bayes.Bayes` learns words; `greylist.decide` lets a stranger wait; `blocklist` and `reverse` ask the DNS about a
client; `measures` says how good any of them is, and how sure that is.

READ NEXT  tokens.py, bayes.py, measures.py
"""
