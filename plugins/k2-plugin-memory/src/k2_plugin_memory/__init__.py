"""In-memory dedup store for k2."""
