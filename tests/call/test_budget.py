"""What calls may use: counting, prices and verdicts."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perhop.call.budget import BudgetExceededError, Budgets, Finding, Verdict, agent_account
from perhop.call.prices import PriceTable
from perhop.call.usage import TokenUse, of_response, of_transcription
from perhop.config import Settings
from perhop.config.budget import BudgetSettings, PriceSettings
from perhop.realtime.events import Usage, UsageDuration, UsageTokens

MIDDAY = 1_000 * 86_400 + 43_200.0


class Clock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.now = 50.0
        self.wall = MIDDAY


def budgets(clock: Clock | None = None, *, warn_at: float = 0.8, **everyone: Any) -> Budgets:
    moved = clock or Clock()
    return Budgets(
        BudgetSettings.model_validate(everyone),
        keys={"shop": BudgetSettings(calls=2, day_tokens=1000)},
        warn_at=warn_at,
        clock=lambda: moved.now,
        wall=lambda: moved.wall,
    )


GO_ON = Finding(Verdict.GO_ON)

# -- usage ------------------------------------------------------------------------------------------------------------


def test_cached_input_is_counted_once() -> None:
    usage = Usage.model_validate(
        {
            "total_tokens": 253,
            "input_tokens": 132,
            "output_tokens": 121,
            "input_token_details": {
                "text_tokens": 119,
                "audio_tokens": 13,
                "image_tokens": 0,
                "cached_tokens": 64,
                "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
        }
    )
    use = of_response(usage)
    assert use == TokenUse(
        input_text=59, input_audio=9, cached_text=60, cached_audio=4, output_text=30, output_audio=91
    )
    assert use.total == usage.total_tokens


def test_a_server_that_counts_sums_only_is_taken_to_speak_of_text() -> None:
    assert of_response(Usage(input_tokens=10, output_tokens=5)) == TokenUse(input_text=10, output_text=5)
    assert of_response(Usage()) == TokenUse()


counts = st.none() | st.integers(0, 10**6)


@given(st.tuples(counts, counts, counts, counts, counts, counts, counts))
def test_whatever_a_server_counts_nothing_is_negative_and_nothing_is_lost(given: tuple[int | None, ...]) -> None:
    text, audio, cached_text, cached_audio, said_text, said_audio, total = given
    usage = Usage.model_validate(
        {
            "input_tokens": total,
            "input_token_details": {
                "text_tokens": text,
                "audio_tokens": audio,
                "cached_tokens_details": {"text_tokens": cached_text, "audio_tokens": cached_audio},
            },
            "output_token_details": {"text_tokens": said_text, "audio_tokens": said_audio},
        }
    )
    use = of_response(usage)
    assert all(count > 0 for count in use.tokens.values())
    heard = max((text or 0) + (audio or 0), total or 0)
    assert use.total == heard + (said_text or 0) + (said_audio or 0)


def test_transcription_is_charged_by_tokens_or_by_time() -> None:
    by_tokens = UsageTokens.model_validate(
        {"total_tokens": 32, "input_tokens": 22, "output_tokens": 10, "input_token_details": {"text_tokens": 2}}
    )
    assert of_transcription(by_tokens) == TokenUse(transcription=True, input_text=2, input_audio=20, output_text=10)
    assert of_transcription(UsageDuration(seconds=2.5)) == TokenUse(transcription=True, seconds=2.5)


# -- prices -----------------------------------------------------------------------------------------------------------

PRICES = PriceTable(
    {
        "*": PriceSettings(text_in=Decimal(1)),
        "gpt-realtime*": PriceSettings(text_in=Decimal(4), text_cached=Decimal("0.4"), audio_out=Decimal(64)),
        "gpt-realtime-mini": PriceSettings(text_in=Decimal("0.6")),
        "whisper-1": PriceSettings(audio_minute=Decimal("0.006")),
    }
)


def test_money_is_exact() -> None:
    use = TokenUse(input_text=3, cached_text=7, output_audio=11)
    assert PRICES.cost("gpt-realtime", use) == Decimal("0.0007188")
    assert sum([PRICES.cost("gpt-realtime", use) or 0 for _ in range(1000)]) == Decimal("0.7188")


def test_the_most_exact_name_counts() -> None:
    use = TokenUse(input_text=1_000_000)
    assert PRICES.cost("gpt-realtime-mini", use) == Decimal("0.6")
    assert PRICES.cost("gpt-realtime-2027-01-01", use) == 4
    assert PRICES.cost("something else", use) == 1


def test_what_is_cached_costs_as_much_as_what_is_not_unless_told() -> None:
    assert PRICES.cost("gpt-realtime-mini", TokenUse(cached_text=1_000_000)) == Decimal("0.6")


def test_time_has_a_price_too() -> None:
    assert PRICES.cost("whisper-1", TokenUse(transcription=True, seconds=90)) == Decimal("0.009")


def test_without_a_price_the_cost_is_unknown_and_not_nothing() -> None:
    assert PriceTable().cost("gpt-realtime", TokenUse(input_text=1)) is None


# -- verdicts ---------------------------------------------------------------------------------------------------------


def test_a_call_without_limits_goes_on() -> None:
    account = budgets().open(key=None, agent=None)
    account.add(TokenUse(input_text=10**9), Decimal(10**6))
    assert account.find(10**9) == GO_ON
    assert account.next_deadline(0.0) is None


@pytest.mark.parametrize(
    ("limit", "some", "much", "all_"),
    [
        ({"call_tokens": 100}, (79, "0"), (80, "0"), (100, "0")),
        ({"call_cost": "1.00"}, (1, "0.79"), (1, "0.80"), (1, "1.00")),
        ({"day_tokens": 100}, (79, "0"), (80, "0"), (100, "0")),
        ({"day_cost": "1.00"}, (1, "0.79"), (1, "0.80"), (1, "1.00")),
    ],
)
def test_a_call_is_warned_at_a_share_of_its_limit_and_ends_at_it(
    limit: dict[str, Any], some: tuple[int, str], much: tuple[int, str], all_: tuple[int, str]
) -> None:
    [name] = limit
    verdicts = []
    for tokens, cost in (some, much, all_):
        account = budgets(**limit).open(key=None, agent=None)
        account.add(TokenUse(input_text=tokens), Decimal(cost))
        verdicts.append(account.find(50.0))
    assert verdicts == [GO_ON, Finding(Verdict.WARN, f"budget.{name}"), Finding(Verdict.END, f"budget.{name}")]


def test_time_passes_through_both_deadlines() -> None:
    account = budgets(call_s=100).open(key=None, agent=None)
    assert account.find(50.0) == GO_ON
    assert account.next_deadline(50.0) == 130.0
    assert account.find(130.0).verdict is Verdict.WARN
    assert account.next_deadline(130.0) == 150.0
    assert account.find(150.0) == Finding(Verdict.END, "budget.call_s")
    assert account.next_deadline(150.0) is None


def test_the_strictest_of_all_limits_counts() -> None:
    account = budgets(call_tokens=1000).open(key="shop", agent="a", agent_limits=BudgetSettings(call_tokens=10))
    account.add(TokenUse(input_text=9), None)
    assert account.find(50.0) == Finding(Verdict.WARN, "agents.a.budget.call_tokens")


def test_calls_of_a_key_share_its_day() -> None:
    shared = budgets()
    first, second = (shared.open(key="shop", agent=None) for _ in range(2))
    first.add(TokenUse(input_text=600), None)
    second.add(TokenUse(input_text=400), None)
    assert first.find(50.0) == second.find(50.0) == Finding(Verdict.END, "keys.shop.budget.day_tokens")
    assert shared.open(key="other", agent=None).find(50.0) == GO_ON


def test_a_key_has_so_many_calls_at_once_and_no_more() -> None:
    shared = budgets()
    calls = [shared.open(key="shop", agent=None) for _ in range(2)]
    with pytest.raises(BudgetExceededError, match=r"keys.shop.budget.calls is 2"):
        shared.open(key="shop", agent=None)
    calls[0].close()
    calls[0].close()
    shared.open(key="shop", agent=None)
    with pytest.raises(BudgetExceededError):
        shared.open(key="shop", agent=None)


def test_a_refused_call_takes_no_place_anywhere() -> None:
    shared = budgets(calls=3)
    for _ in range(2):
        shared.open(key="shop", agent=None)
    for _ in range(5):
        with pytest.raises(BudgetExceededError):
            shared.open(key="shop", agent=None)
    shared.open(key=None, agent=None)


def test_a_day_that_is_used_up_takes_no_calls_until_midnight() -> None:
    clock = Clock()
    shared = budgets(clock, day_tokens=100)
    shared.already_used(key=None, agent=None, tokens=100, cost=Decimal(0))
    with pytest.raises(BudgetExceededError, match="after midnight") as refused:
        shared.open(key=None, agent=None)
    assert refused.value.retry_after_s == 43_201
    clock.wall += refused.value.retry_after_s
    shared.open(key=None, agent=None)


def test_agents_of_one_name_but_two_tenants_have_accounts_of_their_own_also_after_a_restart() -> None:
    clock = Clock()
    shared = budgets(clock)
    limits = BudgetSettings(day_tokens=100)
    shared.already_used(key=None, agent=agent_account("acme", "desk"), tokens=100, cost=Decimal(0))
    with pytest.raises(BudgetExceededError, match=r"agents.desk.budget"):
        shared.open(key=None, agent=agent_account("acme", "desk"), agent_limits=limits)
    shared.open(key=None, agent=agent_account("default", "desk"), agent_limits=limits)


def test_a_call_that_goes_on_past_midnight_draws_on_the_new_day() -> None:
    clock = Clock()
    account = budgets(clock, day_tokens=100).open(key=None, agent=None)
    account.add(TokenUse(input_text=100), None)
    clock.wall += 86_400
    assert account.find(50.0) == GO_ON


def test_usage_without_a_price_is_remembered_as_such() -> None:
    account = budgets().open(key=None, agent=None)
    account.add(TokenUse(input_text=5), Decimal("0.5"))
    assert account.used.priced
    account.add(TokenUse(output_text=5), None)
    account.add(TokenUse(transcription=True, seconds=2.0), Decimal("0.1"))
    assert (account.used.tokens, account.used.cost, account.used.priced) == (10, Decimal("0.6"), False)


# -- settings ---------------------------------------------------------------------------------------------------------


def test_prices_and_budgets_are_settings() -> None:
    given = Settings.model_validate(
        tomllib.loads(
            """
            currency = "EUR"
            [budget]
            call_cost = 2.5
            [warning]
            at = 0.75
            [prices."gpt-realtime*"]
            text_in = 4.00
            [[keys]]
            name = "website"
            hash = "sha256:%s"
            budget = { calls = 20 }
            [[agents]]
            name = "oneroof"
            [agents.budget]
            call_tokens = 1000
        """
            % ("0" * 64)
        )
    )
    assert given.budget.call_cost == Decimal("2.5")
    assert given.prices["gpt-realtime*"].text_in == 4
    assert given.keys[0].budget == BudgetSettings(calls=20)
    assert given.agents[0].budget == BudgetSettings(call_tokens=1000)


@pytest.mark.parametrize(
    "wrong",
    [{"budget": {"call_cost": -1}}, {"prices": {"a": {"texts": 1}}}, {"currency": "euro"}, {"warning": {"at": 0}}],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(wrong)


# -- hand-over --------------------------------------------------------------------------------------------------------


def test_after_a_hand_over_the_call_draws_on_the_successors_account() -> None:
    clock = Clock()
    accounts = budgets(clock)
    desk, billing = BudgetSettings(calls=1), BudgetSettings(call_s=60, call_tokens=100)
    account = accounts.open(key=None, agent="desk", agent_limits=desk)
    account.add(TokenUse(input_text=500), None)
    clock.now += 100
    accounts.hand_over(account, agent="billing", agent_limits=billing)
    assert account.find(clock.now) == GO_ON, "what was used before is not the successor's"
    assert account.next_deadline(clock.now) == clock.now + 48
    accounts.open(key=None, agent="desk", agent_limits=desk).close()
    account.add(TokenUse(input_text=100), None)
    assert account.find(clock.now) == Finding(Verdict.END, "agents.billing.budget.call_tokens")


def test_who_is_put_through_and_back_goes_on_where_the_first_agent_was_left() -> None:
    clock = Clock()
    accounts = budgets(clock)
    desk = BudgetSettings(call_s=60, call_tokens=100, call_cost=Decimal(1))
    account = accounts.open(key=None, agent="desk", agent_limits=desk)
    account.add(TokenUse(input_text=60), Decimal("0.5"))
    clock.now += 40
    accounts.hand_over(account, agent="billing", agent_limits=BudgetSettings())
    account.add(TokenUse(input_text=1000), Decimal(10))
    clock.now += 1000
    accounts.hand_over(account, agent="desk", agent_limits=desk)
    assert account.find(clock.now) == GO_ON, "what the other agent used is not the first one's"
    assert account.next_deadline(clock.now) == clock.now + 60 * 0.8 - 40
    assert account.find(clock.now + 20) == Finding(Verdict.END, "agents.desk.budget.call_s")
    account.add(TokenUse(input_text=40), None)
    assert account.find(clock.now) == Finding(Verdict.END, "agents.desk.budget.call_tokens")


def test_an_agent_with_too_many_calls_takes_over_none_and_nothing_has_changed() -> None:
    accounts, one = budgets(), BudgetSettings(calls=1)
    busy = accounts.open(key=None, agent="billing", agent_limits=one)
    account = accounts.open(key=None, agent="desk", agent_limits=one)
    with pytest.raises(BudgetExceededError, match=r"agents\.billing\.budget\.calls is 1"):
        accounts.hand_over(account, agent="billing", agent_limits=one)
    with pytest.raises(BudgetExceededError, match=r"agents\.desk\.budget\.calls is 1"):
        accounts.open(key=None, agent="desk", agent_limits=one)
    busy.close()
    accounts.hand_over(account, agent="billing", agent_limits=one)
    account.close()
    for name in ("desk", "billing"):
        accounts.open(key=None, agent=name, agent_limits=one).close()


def test_an_agent_that_takes_over_from_itself_does_not_stand_in_its_own_way() -> None:
    accounts, one = budgets(), BudgetSettings(calls=1)
    account = accounts.open(key=None, agent="desk", agent_limits=one)
    accounts.hand_over(account, agent="desk", agent_limits=one)
    account.close()
    accounts.open(key=None, agent="desk", agent_limits=one).close()


def test_a_call_that_is_over_is_handed_to_nobody() -> None:
    accounts, one = budgets(), BudgetSettings(calls=1)
    account = accounts.open(key=None, agent="desk", agent_limits=one)
    account.close()
    accounts.hand_over(account, agent="billing", agent_limits=one)
    accounts.open(key=None, agent="billing", agent_limits=one).close()
