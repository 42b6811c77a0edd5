"""The abstract classes that plugins implement, one module a kind; read them to learn the whole API.

`frames` what a connector hands on, `connector` how an exchange is spoken to, `normalizer` frames to records,
`broker` the log, `identities` and `dedup` what was stored already, `sink` tables, `query` cold reads.
Connectors are async; everything that runs after the log is synchronous and may block.
"""
