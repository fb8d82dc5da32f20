"""The views, one file for each kind of thing; `show` finds them here by itself.

READ NEXT  dialogue.py
"""
