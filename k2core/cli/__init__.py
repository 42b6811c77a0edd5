"""The command line. `main` is the entry point; each command is a module of its own, imported when it is called.

`session` holds what all commands share (`--config`, `--plugin`, registry, settings), `terminal` how results are printed,
`processes` what `ingest`, `write` and `serve` have in common, `supervise` and `children` how `k2 up` minds them.
"""
