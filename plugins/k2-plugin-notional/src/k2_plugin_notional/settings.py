"""Settings of the enricher `notional`."""

from __future__ import annotations

from pydantic import Field

from k2core.plugin import Settings

CURRENCIES = (
    "USDT", "USDC", "FDUSD", "TUSD", "BUSD", "DAI", "PYUSD", "USD", "EUR", "GBP", "JPY", "CHF", "AUD", "CAD", "NZD",
    "TRY", "BRL", "ZAR", "PLN", "SEK", "NOK", "DKK", "SGD", "HKD", "CNH", "MXN", "KRW", "INR", "BTC", "XBT", "ETH", "BNB",
)  # fmt: skip


class NotionalSettings(Settings):
    """`[enrichers.notional]`."""

    data_type: str = Field("trades", description="Rows of which data type; it must have `price` and `quantity`.")
    column: str = Field("notional", description="Name of the column for price × quantity.")
    currency_column: str = Field("quote_currency", description="Name of the column for the quote currency.")
    currencies: tuple[str, ...] = Field(
        CURRENCIES, description="Codes that count as a quote currency at the end of a symbol."
    )
    symbols: dict[str, str] = Field({}, description='Quote currency by symbol, as {"BTCUSD_PERP" = "USD"}.')
    exchanges: dict[str, str] = Field({}, description='Quote currency of all else on an exchange, as {asx = "AUD"}.')
