"""A name of these tables, by which a shared calendar elsewhere tells their bookings from those of others."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes it."""
    site = op.create_table(
        "calendar_site",
        sa.Column("id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_calendar_site"),
    )
    op.bulk_insert(site, [{"id": secrets.token_hex(8)}])


def downgrade() -> None:
    """Drops it."""
    op.drop_table("calendar_site")
