"""Each MUST of a connector has a feed or connector that breaks it, and that fails its test and no other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from k2core.plugin import (
    Component,
    Connector,
    FrameBatch,
    FrameKind,
    NormalizedBatch,
    Normalizer,
    Rejected,
    Reply,
    Request,
    RestClient,
    Settings,
    Subscription,
)
from tests.contract.pit_connector import PitConnector, PitConnectorSuite
from tests.contract.pit_feed import PitFeed, PitFeedSuite, suite_of
from tests.contract.pit_normalizer import PitNormalizer
from tests.contract.standard import applying, failing

THREADS = 8


class AsksForMore(PitFeed):
    """As some exchanges let one do: all symbols at once."""

    def subscribe(self, subscriptions: Sequence[Subscription], first_id: int) -> Sequence[Request]:
        more = [*subscriptions, Subscription("ZZZ", "trades")] if len(subscriptions) > 1 else subscriptions
        return super().subscribe(more, first_id)


class LeavesOneOut(PitFeed):
    def subscribe(self, subscriptions: Sequence[Subscription], first_id: int) -> Sequence[Request]:
        return super().subscribe(subscriptions[:-1] if len(subscriptions) > 2 else subscriptions, first_id)


class AsksTwice(PitFeed):
    def subscriptions(self) -> Sequence[Subscription]:
        return [*super().subscriptions(), *super().subscriptions()]


class CallsHeartbeatsData(PitFeed):
    def is_data(self, frame: bytes) -> bool:
        return super().is_data(frame) or frame.startswith(b'{"ch":"beat"')


class RaisesOnOddControl(PitFeed):
    def reply(self, said: dict[str, Any]) -> Reply:
        if said["ch"] == "ok":
            said["id"] += 1
        reply = super().reply(said)
        return replace(reply, request_id=str(said["id"] - 1)) if said["ch"] == "ok" else reply


class HearsNoRefusal(PitFeed):
    def reply(self, said: dict[str, Any]) -> Reply:
        return Reply(FrameKind.OTHER) if said["ch"] == "no" else super().reply(said)


class HearsNoFarewell(PitFeed):
    def reply(self, said: dict[str, Any]) -> Reply:
        return Reply(FrameKind.HEARTBEAT) if said["ch"] == "bye" else super().reply(said)


class NeverTooOld(PitFeed):
    limits = replace(PitFeed.limits, max_age=None)


class TalksTooMuch(PitFeed):
    limits = replace(PitFeed.limits, control_per_second=500)


class BelievesAnyRest(PitFeed):
    async def check(self, rest: RestClient) -> Sequence[Subscription]:
        import json

        known = json.loads((await rest.get(f"{self.settings.rest_url}/symbols")).body)["symbols"]
        return [one for one in self.subscriptions() if one.symbol not in known]


class MixesSymbolsUp(PitFeed):
    """As where an exchange's numbers of symbols are looked up in the wrong row."""

    def subscribe(self, subscriptions: Sequence[Subscription], first_id: int) -> Sequence[Request]:
        other = {"AAA": "BBB", "BBB": "AAA"}
        return super().subscribe([replace(one, symbol=other[one.symbol]) for one in subscriptions], first_id)


class RefusesQuotes(PitNormalizer):
    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        found = super().normalize(batch)
        tops = [Rejected(n, "unknown-message", "top") for n, frame in enumerate(batch.frames) if b'"top"' in frame]
        kept = {name: records for name, records in found.records.items() if name != "quotes"}
        return NormalizedBatch(kept, tops, found.control, found.yielding - len(tops))


def make_refusing(settings: Settings, context: object) -> Normalizer:
    return RefusesQuotes()


REFUSING: Component[Normalizer] = Component(name="pit", summary="Pit", settings=Settings, factory=make_refusing)


class LosesFrames(PitConnector):
    """A full queue that drops."""

    seen = 0

    def taken(self, frame: bytes) -> list[bytes]:
        self.seen += 1
        return [] if self.seen == 70 else [frame]


class NumbersAnew(PitConnector):
    def taken(self, frame: bytes) -> list[bytes]:
        self.number = min(self.number, 50)
        return [frame]


class DropsDoubles(PitConnector):
    last = b""

    def taken(self, frame: bytes) -> list[bytes]:
        last, self.last = self.last, frame
        return [] if frame == last else [frame]


class ReconnectsOnGarbage(PitConnector):
    def taken(self, frame: bytes) -> list[bytes]:
        if not frame.endswith(b"}"):
            raise TimeoutError
        return [frame]


class WaitsForNoAnswer(PitConnector):
    async def subscribe(self) -> None:
        await super().subscribe()
        self.pending = set()


class GivesUpInTheEnd(PitConnector):
    def pause(self, error: Exception) -> float:
        return 60 if self.connects >= 3 else super().pause(error)


class WaitsForEver(PitConnector):
    def opened(self) -> None:
        self.settings = self.settings.model_copy(update={"frame_timeout_s": 3600.0})


class BuffersAnything(PitConnector):
    most_bytes = None


class NeverPongs(PitConnector):
    def opened(self) -> None:
        from websockets.frames import Opcode

        protocol, send = self.socket.protocol, self.socket.protocol.send_frame
        protocol.send_frame = lambda frame: None if frame.opcode is Opcode.PONG else send(frame)


class ComesBackAtOnce(PitConnector):
    def pause(self, error: Exception) -> float:
        return self.settings.backoff_s


class NeverCloses(PitConnector):
    async def __aexit__(self, *_: object) -> None:
        return None


class RaisesWhenClosed(PitConnector):
    async def frames(self) -> AsyncIterator[FrameBatch]:
        async for batch in super().frames():
            yield batch
        raise RuntimeError("closed")


BROKEN: list[tuple[type, str]] = [
    (AsksForMore, "test_C01_it_subscribes_to_what_the_settings_ask_for"),
    (LeavesOneOut, "test_C01_it_subscribes_to_what_the_settings_ask_for"),
    (AsksTwice, "test_C02_any_share_of_the_subscriptions_is_asked_for_alone"),
    (LosesFrames, "test_C03_every_frame_arrives_once_unchanged_in_order_and_numbered"),
    (NumbersAnew, "test_C03_every_frame_arrives_once_unchanged_in_order_and_numbered"),
    (DropsDoubles, "test_C04_doubled_and_reordered_frames_pass_as_they_came"),
    (ReconnectsOnGarbage, "test_C05_half_frames_and_garbage_go_on_to_the_normalizer"),
    (CallsHeartbeatsData, "test_C06_whatever_the_bytes_a_frame_is_classified"),
    (RaisesOnOddControl, "test_C06_whatever_the_bytes_a_frame_is_classified"),
    (WaitsForNoAnswer, "test_C08_an_acknowledgement_that_never_comes_is_noticed"),
    (HearsNoRefusal, "test_C09_a_refused_subscription_costs_no_other"),
    (GivesUpInTheEnd, "test_C10_an_ended_connection_is_made_again"),
    (WaitsForEver, "test_C11_silence_is_noticed"),
    (HearsNoFarewell, "test_C12_a_farewell_is_heeded"),
    (NeverTooOld, "test_C13_a_connection_that_gets_too_old_is_replaced"),
    (BuffersAnything, "test_C14_an_oversize_frame_is_not_buffered"),
    (TalksTooMuch, "test_C15_the_exchanges_limits_are_kept"),
    (NeverPongs, "test_C16_pings_are_answered"),
    (ComesBackAtOnce, "test_C17_turned_away_it_waits_and_comes_back"),
    (NeverCloses, "test_C18_closing_ends_the_frames"),
    (RaisesWhenClosed, "test_C18_closing_ends_the_frames"),
    (BelievesAnyRest, "test_C19_a_check_that_gets_no_answer_says_so"),
    (MixesSymbolsUp, "test_C20_a_subscription_brings_its_own_symbol_and_no_other"),
]
NORMALIZER_TEST = "test_C07_its_normalizer_reads_what_it_passes_on"


def suite(made: type) -> Any:
    return suite_of(made, PitConnectorSuite if issubclass(made, Connector) else PitFeedSuite)


@pytest.mark.parametrize("sound", [PitFeed, PitConnector])
def test_a_sound_connector_passes(sound: type) -> None:
    assert failing(suite(sound), threads=THREADS) == {}


@pytest.mark.parametrize(("broken", "meant"), BROKEN, ids=[broken.__name__ for broken, _ in BROKEN])
def test_a_broken_connector_fails_the_test_meant_for_it(broken: type, meant: str) -> None:
    found = failing(suite(broken), threads=THREADS)
    assert set(found) == {meant}, found


def test_a_normalizer_that_does_not_fit_is_found() -> None:
    found = failing(suite_of(PitFeed, normalizer=REFUSING), threads=THREADS)
    assert set(found) == {NORMALIZER_TEST}, found


def test_every_must_has_a_connector_that_breaks_it() -> None:
    musts = {name for name in applying(PitFeedSuite) if "_C" in name}
    assert musts == {meant for _, meant in BROKEN} | {NORMALIZER_TEST}
