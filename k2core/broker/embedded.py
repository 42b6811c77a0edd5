"""The embedded log: one SQLite file that several processes write and read at once, without a server.

    log.db         state     sealed rows: pulse, topics, consumers, tops of each topic          (`sealed`, `catalog`)
                   segment   one row a topic and append: head, sizes, data, each with CRC32C    (`segment`)
    log.db-wal     SQLite's write-ahead log: appends go here, synced, and later into log.db     (`wal`)
    log.db-shm     SQLite's index of it, made anew by whoever opens the log first
    log.db-lock    held shared by everyone who has the log open, exclusively for the check      (`opening`)
    log.db-note    the newest acknowledged write of each process                                (`note`)

    offset  =  epoch << 40 | n         n rises by one; a recovery that may have lost records raises the epoch
    append time  =  max(last + 1, now), taken inside the write lock: rises over the whole log

Faults survived: `kill -9` of anybody at any time; a power cut (durability "full": nothing acknowledged is lost; "normal":
the newest may be, no offset is used twice); a torn tail; a full disk and the size limit (`LogFullError`, goes on when
space returns). Faults detected, never passed on: flipped bits, vanished rows, a write-ahead log that is damaged, cut or
gone (`LogCorruptError`); a disk that fails to sync (`LogWriteError`: the process must stop).
"""

from __future__ import annotations

import logging
import pathlib
import secrets
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Self, TypeVar

from k2core.broker.catalog import (
    Mark,
    StoredConsumer,
    StoredTopic,
    merged,
    read_consumers,
    read_topics,
    write_consumers,
    write_topics,
)
from k2core.broker.consumer import EmbeddedConsumer
from k2core.broker.database import check_layout, closed_on_error, reading, translated
from k2core.broker.logfile import LogFile
from k2core.broker.note import NoteSlot, read_note
from k2core.broker.opening import hold, leave
from k2core.broker.producer import EmbeddedProducer
from k2core.broker.sealed import Tops, read_pulse, read_tops, write_pulse, write_tops
from k2core.broker.segment import WHAT_TO_DO
from k2core.broker.settings import EmbeddedSettings
from k2core.clock import Clock
from k2core.errors import BrokerError, LogCorruptError
from k2core.interfaces.broker import Broker, Consumer, Offsets, Partition, Producer, TopicInfo, TopicSpec

T = TypeVar("T")
