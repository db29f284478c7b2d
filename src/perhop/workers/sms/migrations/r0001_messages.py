"""Messages, and who wants none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "sms_messages",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("call_id", sa.String(200), nullable=False),
        sa.Column("sender", sa.String(16), nullable=False),
        sa.Column("phone", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reference", sa.String(64)),
        sa.Column("error", sa.String(64)),
        sa.Column("text", sa.Text()),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sms_messages"),
    )
    op.create_index("ix_sms_messages_tenant_phone_created_at", "sms_messages", ["tenant", "phone", "created_at"])
    op.create_index("ix_sms_messages_created_at", "sms_messages", ["created_at"])
    op.create_table(
        "sms_opt_outs",
        sa.Column("sender", sa.String(16), nullable=False),
        sa.Column("phone", sa.String(16), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sender", "phone", name="pk_sms_opt_outs"),
    )


def downgrade() -> None:
    """Drops them; also who wants no messages is then forgotten."""
    op.drop_table("sms_opt_outs")
    op.drop_table("sms_messages")
