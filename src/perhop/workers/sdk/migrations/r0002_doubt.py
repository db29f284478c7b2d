"""Effects of which an attempt may have been had, though a later one was not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds the column. Of attempts before the last one nothing is known, so they count as in doubt."""
    op.add_column("worker_effects", sa.Column("in_doubt", sa.Boolean(), nullable=False, server_default=sa.false()))
    effects = sa.table(
        "worker_effects",
        sa.column("state", sa.String),
        sa.column("attempts", sa.Integer),
        sa.column("error", sa.String),
        sa.column("in_doubt", sa.Boolean),
    )
    op.execute(
        effects.update()
        .where(
            effects.c.state.in_(("pending", "sending")),
            sa.or_(effects.c.attempts > 1, effects.c.error != "NotSentError"),
        )
        .values(in_doubt=sa.true())
    )


def downgrade() -> None:
    """Drops it."""
    op.drop_column("worker_effects", "in_doubt")
