"""The store of client secrets: their life, their use, and who wins a race."""

from __future__ import annotations

import pytest
from tests.api.helpers import Clock

from perhop.api.client_secrets import ClientSecretStore
from perhop.api.errors import ApiError


def mint(store: ClientSecretStore, ttl_s: int = 600) -> str:
    value, _ = store.mint(ttl_s=ttl_s, tenant="default", agent=None, session={})
    return value


def code_of(store: ClientSecretStore, value: str) -> str | None:
    with pytest.raises(ApiError) as caught:
        store.find(value)
    assert caught.value.status == 401
    return caught.value.code


def test_a_fresh_secret_opens_a_call() -> None:
    store = ClientSecretStore(clock=Clock(100.9))
    value, secret = store.mint(ttl_s=10, tenant="acme", agent="oneroof", session={"instructions": "x"})
    assert value.startswith("ek_")
    assert store.find(value) is secret
    assert (secret.expires_at, secret.tenant, secret.agent) == (110, "acme", "oneroof")


def test_values_are_long_and_never_the_same() -> None:
    store = ClientSecretStore()
    values = {mint(store) for _ in range(100)}
    assert len(values) == 100
    assert min(map(len, values)) >= len("ek_") + 43


def test_a_secret_ends_at_its_expiry() -> None:
    clock = Clock(100.0)
    store = ClientSecretStore(clock=clock)
    value = mint(store, ttl_s=10)
    clock.now = 109.99
    store.find(value)
    clock.now = 110.0
    assert code_of(store, value) == "client_secret_invalid"


def test_an_unknown_secret_is_refused_without_repeating_it() -> None:
    with pytest.raises(ApiError) as caught:
        ClientSecretStore().find("ek_canary")
    assert "canary" not in str(caught.value)


def test_an_answered_call_spends_it() -> None:
    store = ClientSecretStore()
    value = mint(store)
    with store.spend(store.find(value)) as spending:
        spending.commit("rtc_1")
    assert code_of(store, value) == "client_secret_spent"


def test_a_failed_attempt_does_not_spend_it() -> None:
    store = ClientSecretStore()
    value = mint(store)
    with pytest.raises(ValueError, match="bad offer"), store.spend(store.find(value)):
        raise ValueError("bad offer")
    store.find(value)


def test_of_two_attempts_at_once_exactly_one_wins() -> None:
    store = ClientSecretStore()
    secret = store.find(mint(store))
    with store.spend(secret) as first:
        with pytest.raises(ApiError) as caught, store.spend(secret):
            pytest.fail("two attempts hold one secret")
        assert caught.value.code == "client_secret_spent"
        first.commit("rtc_1")
    with pytest.raises(ApiError), store.spend(secret):
        pytest.fail("a spent secret was held again")


def test_the_loser_of_a_race_can_try_again_when_the_winner_fails() -> None:
    store = ClientSecretStore()
    secret = store.find(mint(store))
    with store.spend(secret), pytest.raises(ApiError), store.spend(secret):
        pass
    with store.spend(secret) as second:
        second.commit("rtc_2")
    assert second.committed


def test_reusable_secrets_open_calls_until_they_expire() -> None:
    store = ClientSecretStore(single_use=False)
    value = mint(store)
    for call_id in ("rtc_1", "rtc_2"):
        with store.spend(store.find(value)) as spending:
            spending.commit(call_id)
    assert store.opened(value, "rtc_1")
    assert store.opened(value, "rtc_2")


def test_a_secret_speaks_for_its_own_call_until_that_ends() -> None:
    clock = Clock(100.0)
    store = ClientSecretStore(clock=clock)
    mine, other = mint(store), mint(store)
    with store.spend(store.find(mine)) as spending:
        spending.commit("rtc_1")
    clock.now += 10_000
    assert store.opened(mine, "rtc_1")
    assert not store.opened(other, "rtc_1")
    assert not store.opened(mine, "rtc_2")
    store.call_ended("rtc_1")
    assert not store.opened(mine, "rtc_1")


def test_the_store_is_bounded_and_frees_what_expired() -> None:
    clock = Clock(100.0)
    store = ClientSecretStore(max_live=2, clock=clock)
    mint(store, ttl_s=10)
    mint(store, ttl_s=20)
    with pytest.raises(ApiError) as caught:
        mint(store)
    assert (caught.value.status, caught.value.code) == (429, "too_many_client_secrets")
    clock.now = 111.0
    mint(store)
    with pytest.raises(ApiError):
        mint(store)


def test_the_repr_of_a_secret_hides_what_it_stands_for() -> None:
    store = ClientSecretStore()
    value, secret = store.mint(ttl_s=10, tenant="t", agent=None, session={"instructions": "canary"})
    assert "canary" not in repr(secret)
    assert value not in repr(secret)
