"""Identities as sortable keys, and what every dedup store does with them: exact sets, a window of time, claims in flight.

Nothing here survives its process; what a store must survive is the store's own business.
"""
