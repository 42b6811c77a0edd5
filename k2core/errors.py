"""Every error that k2 raises on purpose, as one tree; the class says what to do about it.

    K2Error
    ├── ConfigError              settings are wrong: fix k2.toml            (exit code 2)
    ├── PluginError              a plugin is broken or missing
    ├── ConnectorError           an exchange misbehaves
    ├── NormalizationError       one frame cannot be read                   (dead letter)
    ├── SchemaError              a schema is unknown or incompatible
    ├── BrokerError              the log refuses or is damaged
    │   ├── BrokerAwayError      the log, or its schema registry, does not answer (away; exit code 3)
    │   ├── TopicMissingError    a topic has to be made first               (away; exit code 3)
    │   ├── LogCorruptError      bytes in the log are not what was written  (permanent)
    │   ├── LogFullError         no space or over its size limit            (transient)
    │   ├── LogVersionError      written by a newer k2                      (permanent)
    │   ├── OffsetGoneError      retention removed what was asked for       (permanent)
    │   └── TopicChangedError    a topic was made anew, or its shape differs(permanent)
    ├── DedupError               a dedup store fails
    │   └── DedupAwayError       it does not answer, and may not be done without (away; exit code 3)
    ├── SinkError                a sink fails
    │   ├── FencedError          another writer owns the partitions         (exit code 4)
    │   ├── CommitConflictError  somebody committed in between              (transient)
    │   └── CommitUnknownError   the reply was lost: refresh and look
    └── QueryError               a query cannot be answered as asked

`Transient` (with `retry_after`) means back off and try again; `Permanent` means stop that pipeline. `Away` is transient:
a command that cannot begin without that part ends with exit code 3.
"""

from __future__ import annotations


class K2Error(Exception):
    """Root of all errors that k2 raises on purpose."""


class Transient:
    """Mixin: trying again later may help. `retry_after` is in seconds, or None where the other side named none."""

    retry_after: float | None = None


class Away(Transient):
    """Mixin: a part that is needed does not answer, or is not there yet; the message says how to bring it."""


class Permanent:
    """Mixin: trying again cannot help; somebody has to act."""


class ConfigError(K2Error, Permanent):
    """Settings are wrong; the message names file, path and the nearest right key."""


class PluginError(K2Error, Permanent):
    """A plugin is missing, broken, or clashes with another."""


class ConnectorError(K2Error, Transient):
    """An exchange refused, went silent or spoke nonsense; the feed reconnects."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NormalizationError(K2Error, Permanent):
    """One frame cannot become a record; it goes to the dead letters with this message as its reason."""


class SchemaError(K2Error, Permanent):
    """A schema is unknown, foreign to its subject, or incompatible."""


class BrokerError(K2Error):
    """The log refuses or is damaged."""


class BrokerAwayError(BrokerError, Away):
    """The log, or the schema registry that it needs now, does not answer."""


class TopicMissingError(BrokerError, Away):
    """A topic is not there, and nobody makes topics on the data path: `k2 topics apply` does."""


class LogCorruptError(BrokerError, Permanent):
    """Bytes read from the log are not the bytes that were written."""


class LogFullError(BrokerError, Transient):
    """The disk is full or the log is at its size limit; writing resumes when space returns."""


class LogBusyError(BrokerError, Transient):
    """Another process held the log's write lock for longer than the limit."""


class LogVersionError(BrokerError, Permanent):
    """The log was written by a newer k2."""


class OffsetGoneError(BrokerError, Permanent):
    """The log no longer holds the asked offset: retention removed it, or it never existed."""


class TopicChangedError(BrokerError, Permanent):
    """A topic was created anew, or its partition count changed."""


class DedupError(K2Error):
    """A dedup store cannot answer."""


class DedupAwayError(DedupError, Away):
    """A dedup store does not answer, and the settings do not let the writer go on without it."""


class SinkError(K2Error):
    """A sink cannot store."""


class FencedError(SinkError, Permanent):
    """Another writer owns `partitions` now; nothing of the refused commit was stored.

    Args:
        message: What was seen, and who took over where that is known.
        partitions: The lost `(topic, partition)` pairs.
    """

    def __init__(self, message: str, partitions: frozenset[tuple[str, int]]) -> None:
        super().__init__(message)
        self.partitions = partitions


class CommitConflictError(SinkError, Transient):
    """The table moved between reading and swapping; nothing was stored, try again from the head."""


class CommitUnknownError(SinkError, Transient):
    """The reply to a commit was lost; read the head and compare offsets before anything else."""


class QueryError(K2Error):
    """A query cannot be answered as asked.

    Args:
        message: What is wrong and what to do.
        kind: Stable slug, the `type` of the problem document (`invalid-parameter`, `snapshot-gone` …).
        status: The HTTP status that fits.
        retry_after: Seconds to wait, where waiting helps.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "invalid-parameter",
        status: int = 422,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind, self.status, self.retry_after = kind, status, retry_after
