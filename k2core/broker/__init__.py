"""The log: partitioning, topics of data types, and the embedded broker on SQLite."""
