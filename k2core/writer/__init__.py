"""The writer: log to table, exactly once.

`pipeline` is the protocol of one table, `intake` the way from the log to claimed rows, `settling` and `start` its edges;
`lane` and `runner` drive pipelines in a process, `upkeep` maintains tables beside it, `crash` is where tests kill it.
"""

from k2core.writer.pipeline import WriterPipeline
from k2core.writer.runner import WriterResult, run_writer
from k2core.writer.upkeep import Upkeep

__all__ = ["Upkeep", "WriterPipeline", "WriterResult", "run_writer"]
