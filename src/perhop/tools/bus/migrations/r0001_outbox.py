"""Events that wait for the bus, and who delivers them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from perhop.store.types import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes both tables."""
    op.create_table(
        "bus_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=True),
        sa.Column("subject", sa.String(512), nullable=False),
        sa.Column("message_id", sa.String(255), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bus_outbox"),
        sa.UniqueConstraint("message_id", name="uq_bus_outbox_message_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "bus_outbox_turn",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("until", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bus_outbox_turn"),
    )


def downgrade() -> None:
    """Drops both tables, and the events that wait."""
    op.drop_table("bus_outbox_turn")
    op.drop_table("bus_outbox")
