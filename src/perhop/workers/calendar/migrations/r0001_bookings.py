"""Bookings, the cells that are taken, and events of calendars elsewhere."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from perhop.store.types import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the three tables."""
    op.create_table(
        "calendar_bookings",
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("resource", sa.String(64), nullable=False),
        sa.Column("starts_at", UtcDateTime, nullable=False),
        sa.Column("ends_at", UtcDateTime, nullable=False),
        sa.Column("name", sa.String(100)),
        sa.Column("phone", sa.String(32)),
        sa.Column("note", sa.Text()),
        sa.Column("call_id", sa.String(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("pushed", sa.Integer()),
        sa.Column("etag", sa.String(255)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_calendar_bookings"),
    )
    for second in ("resource", "phone"):
        columns = ["tenant", second, "starts_at"]
        op.create_index(f"ix_calendar_bookings_{'_'.join(columns)}", "calendar_bookings", columns)
    op.create_table(
        "calendar_cells",
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("resource", sa.String(64), nullable=False),
        sa.Column("cell", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(80), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "resource", "cell", name="pk_calendar_cells"),
    )
    op.create_index("ix_calendar_cells_tenant_owner", "calendar_cells", ["tenant", "owner"])
    op.create_table(
        "calendar_events",
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("resource", sa.String(64), nullable=False),
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("starts_at", UtcDateTime, nullable=False),
        sa.Column("ends_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "resource", "uid", name="pk_calendar_events"),
    )


def downgrade() -> None:
    """Drops them, and every booking."""
    for table in ("calendar_events", "calendar_cells", "calendar_bookings"):
        op.drop_table(table)
