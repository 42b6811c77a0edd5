"""The simple form of a normalizer: one frame to a few light records; core builds the columns, a batch at a time.

`shapes` are the records an author gives, `parser` drives his `parse`, `refusals` says why a frame is none, `rows` and
`built` build columns, `numbers` and `columns` hold what every column shares. Authors of the batch form hand over `fields`
themselves. numpy and pyarrow are first imported when something is built.
"""
