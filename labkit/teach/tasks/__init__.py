"""The exercises of the notebooks, one module for each.

READ NEXT  tour.py
"""
