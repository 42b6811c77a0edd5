"""What a normalizer's author declares is compared with his examples: a wrong word fails the test that is meant for it."""

from __future__ import annotations

from typing import Any

import pytest

from k2core.plugin import ChannelFacts, ConnectorFacts
from tests.contract.pit_frames import suite_of
from tests.contract.pit_normalizer import FACTS, PitNormalizer
from tests.contract.standard import failing


def declared(name: str, **facts: Any) -> dict[str, Any]:
    channels = {**FACTS.channels, name: ChannelFacts(**facts)}
    return {"facts": ConnectorFacts(exchange="pit", asset_class="crypto", channels=channels)}


WRONG_WORDS = [
    (declared("trades", ids="contiguous", side="taker"), "test_N03_the_side_is_the_takers"),
    (declared("trades", ids="contiguous"), "test_N03_the_side_is_the_takers"),
    (
        declared("trades", ids="contiguous", side="maker", event_time="received"),
        "test_N04_times_are_the_exchanges_in_microseconds",
    ),
    (declared("trades", ids="increasing", side="maker"), "test_N08_ids_are_what_is_declared"),
    (declared("quotes", ids="contiguous", event_time="received"), "test_N08_ids_are_what_is_declared"),
    (declared("quotes", ids="increasing"), "test_N04_times_are_the_exchanges_in_microseconds"),
]


@pytest.mark.parametrize(("facts", "meant"), WRONG_WORDS, ids=range(len(WRONG_WORDS)))
def test_a_wrong_declaration_is_found(facts: dict[str, Any], meant: str) -> None:
    assert set(failing(suite_of(PitNormalizer, **facts))) == {meant}
