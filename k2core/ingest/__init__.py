"""Feed to log: frames, normalizers, the producer, and exact accounting.

`pipeline` runs one connector, `run` several; `gathering` makes batches of what comes, `digest` turns frames into encoded
records and dead letters and is pure, `appending` puts them into the log and waits while it cannot take them.
"""
