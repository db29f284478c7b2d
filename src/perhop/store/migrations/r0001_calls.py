"""Calls, and the processes they live in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from perhop.store.types import Money, UtcDateTime

revision = "0001"
down_revision = None

_COUNTS = ("turns", "responses", "interruptions", "tool_calls", "epoch", "renewals", "reconnects")

_TOKENS = (
    "input_text_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "cached_text_tokens",
    "cached_audio_tokens",
    "cached_image_tokens",
    "output_text_tokens",
    "output_audio_tokens",
    "transcription_tokens",
)


def upgrade() -> None:
    """Makes both tables."""
    op.create_table(
        "instances",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("started_at", UtcDateTime, nullable=False),
        sa.Column("seen_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_instances"),
    )
    op.create_index("ix_instances_name", "instances", ["name"])
    op.create_table(
        "calls",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("key", sa.String(64)),
        sa.Column("agent", sa.String(64)),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("transport", sa.String(16), nullable=False),
        sa.Column("instance", sa.String(64), nullable=False),
        sa.Column("started_at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime),
        sa.Column("end_reason", sa.String(64)),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in _COUNTS),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _TOKENS),
        sa.Column("transcription_s", sa.Float, nullable=False),
        sa.Column("cost", Money, nullable=False),
        sa.Column("priced", sa.Boolean, nullable=False),
        sa.Column("rtt_ms", sa.Float),
        sa.Column("jitter_ms", sa.Float),
        sa.Column("packets_received", sa.BigInteger),
        sa.Column("packets_lost", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_calls"),
        sa.ForeignKeyConstraint(["instance"], ["instances.id"], name="fk_calls_instance"),
    )
    op.create_index("ix_calls_tenant_started_at_id", "calls", ["tenant", "started_at", "id"])
    op.create_index("ix_calls_started_at", "calls", ["started_at"])
    op.create_index("ix_calls_ended_at_instance", "calls", ["ended_at", "instance"])


def downgrade() -> None:
    """Removes them, and every call that was recorded."""
    op.drop_table("calls")
    op.drop_table("instances")
