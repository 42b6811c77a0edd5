"""Bare-library loops: what the same work costs with no framework, no accounting, no fence, no ledger. Never shipped."""
