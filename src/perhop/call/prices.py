"""What tokens cost."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fnmatch import fnmatchcase

from perhop.call.usage import TokenUse
from perhop.config.budget import PriceSettings

__all__ = ["PriceTable"]

_MILLION = Decimal(1_000_000)
_MINUTE = Decimal(60)


class PriceTable:
    """Prices by model.

    Args:
        prices: per million tokens, by a model's name or a pattern of it.
    """

    def __init__(self, prices: Mapping[str, PriceSettings] | None = None) -> None:
        # The most exact first: whole names, then the patterns that leave least open.
        self._prices = sorted((prices or {}).items(), key=lambda item: _openness(item[0]))
        self._found: dict[str, PriceSettings | None] = {}

    def price(self, model: str) -> PriceSettings | None:
        """The price of a model; None when the table has none."""
        if model not in self._found:
            if len(self._found) > 1000:
                # Names may come from clients.
                self._found.clear()
            fitting = (price for pattern, price in self._prices if fnmatchcase(model, pattern))
            self._found[model] = next(fitting, None)
        return self._found[model]

    def cost(self, model: str, use: TokenUse) -> Decimal | None:
        """What this use of a model costs, exactly; None when the table has no price for it."""
        price = self.price(model)
        if price is None:
            return None
        kinds = (
            (use.input_text, price.text_in),
            (use.cached_text, _or(price.text_cached, price.text_in)),
            (use.input_audio, price.audio_in),
            (use.cached_audio, _or(price.audio_cached, price.audio_in)),
            (use.input_image, price.image_in),
            (use.cached_image, _or(price.image_cached, price.image_in)),
            (use.output_text, price.text_out),
            (use.output_audio, price.audio_out),
        )
        tokens = sum((count * each for count, each in kinds), Decimal(0)) / _MILLION
        return tokens + Decimal(str(use.seconds)) * price.audio_minute / _MINUTE


def _openness(pattern: str) -> tuple[bool, int, str]:
    exact = len(pattern) - sum(pattern.count(sign) for sign in "*?[]")
    return any(sign in pattern for sign in "*?["), -exact, pattern


def _or(price: Decimal | None, otherwise: Decimal) -> Decimal:
    return price if price is not None else otherwise
