"""The record of effects."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from perhop.store.types import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "effects",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("call_id", sa.String(200), nullable=False),
        sa.Column("function_call_id", sa.String(200), nullable=False),
        sa.Column("agent", sa.String(64), nullable=False),
        sa.Column("tool", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("code", sa.String(64)),
        sa.Column("arguments", sa.Text),
        sa.Column("deadline", UtcDateTime, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime),
        sa.PrimaryKeyConstraint("key", name="pk_effects"),
    )
    op.create_index("ix_effects_state_deadline", "effects", ["state", "deadline"])
    op.create_index("ix_effects_ended_at", "effects", ["ended_at"])


def downgrade() -> None:
    """Drops it."""
    op.drop_table("effects")
