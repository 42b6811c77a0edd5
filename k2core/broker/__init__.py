"""The log: partitioning, topics of data types, and the embedded broker on SQLite.

`embedded` is the way in and draws the file's layout; `producer` appends, `consumer` reads, `retention` removes;
`segment`, `sealed` and `catalog` hold the bytes and their checksums; `database` speaks to SQLite, `opening`, `wal` and
`note` prove at the start that nothing acknowledged is missing. `specs` makes topics of data types.
"""
