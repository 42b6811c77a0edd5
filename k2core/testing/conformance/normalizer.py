"""`NormalizerSuite`: what every normalizer must do, batch form or `FrameParser`. MUSTs N01 … of `docs/specs/component.md`.

class TestCoinNormalizer(NormalizerSuite):
    component = k2_normalizers()[0]
    facts = FACTS
    examples = (
        Example(b'{"s":"AAA","n":7,…}', {"trades": [{"symbol": "AAA", "trade_id": "7", "price": "1.50", …}]}),
        …
    )
    control = (b'{"ok":1}', b'{"beat":1}')
"""

from __future__ import annotations

from k2core.testing.conformance.normalizer_bad import BadFrameTests
from k2core.testing.conformance.normalizer_pure import PureTests
from k2core.testing.conformance.normalizer_records import RecordTests
from k2core.testing.conformance.normalizer_side import SideTests


class NormalizerSuite(SideTests, PureTests, BadFrameTests, RecordTests):  # pytest runs the last base's tests first
    """Sound frames, bad frames, purity; see `NormalizerFacts` for what a subclass gives and declares."""
