"""What waits, for how long, and what is said when it is given up.

WHAT       queue items, retry schedules, hints about hosts and addresses, delivery reports.
RULES      pure: an instant is an argument named `now`.
READ NEXT  item.py, schedule.py, hints.py, report.py
"""
