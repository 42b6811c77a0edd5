"""Log to table, exactly once."""
