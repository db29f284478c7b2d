"""Contacts, leads and notes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from perhop.store.types import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the three tables."""
    op.create_table(
        "crm_contacts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("name", sa.String(100)),
        sa.Column("phone", sa.String(20)),
        sa.Column("email", sa.String(254)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_crm_contacts"),
        sa.UniqueConstraint("tenant", "phone", name="uq_crm_contacts_tenant_phone"),
        sa.UniqueConstraint("tenant", "email", name="uq_crm_contacts_tenant_email"),
        sa.CheckConstraint("phone IS NOT NULL OR email IS NOT NULL", name="ck_crm_contacts_reachable"),
    )
    _about_contacts("leads", sa.Column("subject", sa.String(200), nullable=False), sa.Column("details", sa.Text()))
    _about_contacts("notes", sa.Column("text", sa.Text(), nullable=False))


def downgrade() -> None:
    """Drops them, and everybody in them."""
    for table in ("crm_notes", "crm_leads", "crm_contacts"):
        op.drop_table(table)


def _about_contacts(name: str, *columns: sa.Column[str]) -> None:
    op.create_table(
        f"crm_{name}",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("contact", sa.Integer(), nullable=False),
        *columns,
        sa.Column("call_id", sa.String(200), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_crm_{name}"),
        sa.ForeignKeyConstraint(["contact"], ["crm_contacts.id"], name=f"fk_crm_{name}_contact", ondelete="CASCADE"),
    )
    op.create_index(f"ix_crm_{name}_tenant_contact_id", f"crm_{name}", ["tenant", "contact", "id"])
