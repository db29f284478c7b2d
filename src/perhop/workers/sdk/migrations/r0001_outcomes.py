"""What was done for which function call, and what is still to be done outside."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from perhop.store.types import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes both tables."""
    op.create_table(
        "worker_outcomes",
        sa.Column("worker", sa.String(64), nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("call_id", sa.String(200), nullable=False),
        sa.Column("function_call_id", sa.String(200), nullable=False),
        sa.Column("tool", sa.String(64), nullable=False),
        sa.Column("asked", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("worker", "tenant", "call_id", "function_call_id", name="pk_worker_outcomes"),
    )
    op.create_index("ix_worker_outcomes_created_at", "worker_outcomes", ["created_at"])
    op.create_table(
        "worker_effects",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("worker", sa.String(64), nullable=False),
        sa.Column("channel", sa.String(64), nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("call_id", sa.String(200), nullable=False),
        sa.Column("function_call_id", sa.String(200), nullable=False),
        sa.Column("payload", sa.Text(), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime, nullable=False),
        sa.Column("leased_until", UtcDateTime, nullable=True),
        sa.Column("reference", sa.String(255), nullable=True),
        sa.Column("error", sa.String(255), nullable=True),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_worker_effects"),
    )
    op.create_index("ix_worker_effects_worker_state_due_at", "worker_effects", ["worker", "state", "due_at"])
    op.create_index("ix_worker_effects_updated_at", "worker_effects", ["updated_at"])


def downgrade() -> None:
    """Drops both tables."""
    op.drop_table("worker_effects")
    op.drop_table("worker_outcomes")
