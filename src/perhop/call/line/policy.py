"""When a model session is replaced, how hard a lost one is tried again, and what is kept meanwhile."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

__all__ = ["LinePolicy", "Takeover"]


@dataclass(frozen=True, slots=True)
class Takeover:
    """When a session is left for the next one, s on a clock the user chooses.

    Attributes:
        prepare: the next one is opened, and takes over when nothing is going on.
        force: it takes over as soon as no response is being given.
        last: it takes over.
    """

    prepare: float
    force: float
    last: float

    def since(self, began_at: float) -> Takeover:
        """The same moments of a session that began then."""
        return Takeover(began_at + self.prepare, began_at + self.force, began_at + self.last)


@dataclass(frozen=True, slots=True)
class LinePolicy:
    """Limits of a :class:`~perhop.call.line.line.ModelLine`; times in seconds.

    Attributes:
        margin_s: before a session's end, the takeover waits for no quiet moment any more, only until the session has
            given the response it is giving; for the last fifth not even that. Shrinks with sessions that live for less
            than four times as long.
        lead_s: before that, the next session is opened and waits for a quiet moment. Shrinks with sessions that live
            for less than three times as long.
        tries: failures of one model in a row before the next one is tried.
        give_up_s: how long the last model is tried without a session; then the call ends.
        proven_s: a session that broke sooner counts as a failure in a row with those before, or one that keeps breaking
            would be opened as fast as it breaks.
        backoff_s: before the second try; doubles from there.
        backoff_max_s: where doubling ends.
        ready_s: how long a new session may take until it can be used.
        hold_after_s: how long the caller hears nothing before being told to wait.
        history_tokens: about how much of the conversation a new session is given; the oldest turns are left out.
        gap_audio_s: caller audio kept while there is no session, and in front of a manual commit.
        tail_s: caller audio kept in which the model has found no speech yet; it may have found some by the next event.
        transcript_wait_s: how long a turn's transcript is waited for before its audio is carried instead.
        rng: spreads retries of many calls.
    """

    margin_s: float = 10.0
    lead_s: float = 60.0
    tries: int = 4
    give_up_s: float = 30.0
    proven_s: float = 5.0
    backoff_s: float = 0.2
    backoff_max_s: float = 5.0
    ready_s: float = 10.0
    hold_after_s: float = 2.5
    history_tokens: int = 16_000
    gap_audio_s: float = 60.0
    tail_s: float = 1.5
    transcript_wait_s: float = 3.0
    rng: random.Random = field(default_factory=random.Random, compare=False)

    def backoff(self, failures: int, *, asked_s: float | None = None) -> float:
        """How long to wait after so many failures in a row: none after the first loss, then capped and jittered.

        Args:
            asked_s: what the model asked for (``Retry-After``): no less than that, up to ``give_up_s``.
        """
        whole = min(self.backoff_max_s, self.backoff_s * 2.0 ** (failures - 2)) if failures > 1 else 0.0
        delay = whole * (0.5 + self.rng.random() / 2) if whole else 0.0
        if asked_s is None or asked_s <= delay:
            return delay
        # Everybody it refused was told the same moment.
        return min(self.give_up_s, asked_s * (1.0 + self.rng.random() / 4))

    def takeover(self, life_s: float) -> Takeover:
        """The moments of the takeover from a session that lives so long, seconds from its start.

        Models give audio faster than it is played, so most responses are given within the margin. One that is not has
        by then left so much to be played that its successor's answer joins on.
        """
        margin = min(self.margin_s, life_s / 4)
        lead = min(self.lead_s, life_s / 3)
        return Takeover(
            prepare=max(0.0, life_s - margin - lead),
            force=max(0.0, life_s - margin),
            last=max(0.0, life_s - margin / 5),
        )
