"""`ConnectorSuite`: what every connector must do, `WebSocketFeed` or full `Connector`. MUSTs C01 … of
`docs/specs/component.md`. All of it runs over loopback against the author's own `Dialect`.

    class TestCoinFeed(ConnectorSuite):
        component = k2_connectors()[0]
        normalizer = k2_normalizers()[0]
        streams = {"AAA": FRAMES, "BBB": OTHER_FRAMES}
        control = (b'{"ok":1}', b'{"beat":1}')

        def dialect(self) -> Dialect:
            return CoinDialect()

        def settings(self, exchange: FakeExchange) -> Mapping[str, Any]:
            return {"symbols": ["AAA", "BBB"], "websocket_url": exchange.url}
"""

from __future__ import annotations

from k2core.testing.conformance.connector_faults import FaultTests
from k2core.testing.conformance.connector_frames import FrameTests


class ConnectorSuite(FrameTests, FaultTests):
    """Frames and faults; see `ConnectorFactsSuite` for what a subclass gives and declares."""
