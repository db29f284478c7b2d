"""Messages are counted by call, and by tenant."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_BY_CALL, _BY_TENANT = "ix_sms_messages_tenant_call_id", "ix_sms_messages_tenant_created_at"


def upgrade() -> None:
    """Adds what they are found by."""
    op.create_index(_BY_CALL, "sms_messages", ["tenant", "call_id"])
    op.create_index(_BY_TENANT, "sms_messages", ["tenant", "created_at"])


def downgrade() -> None:
    """Drops it."""
    op.drop_index(_BY_TENANT, "sms_messages")
    op.drop_index(_BY_CALL, "sms_messages")
