"""The table, and the triggers that keep it as it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_REFUSAL = "audit_events is append-only"
_REFUSE = f"SELECT RAISE(ABORT, '{_REFUSAL}')"
_THERE = (
    "EXISTS (SELECT 1 FROM audit_events WHERE key = new.key "
    "OR (tenant = new.tenant AND call_id = new.call_id AND event_id = new.event_id))"
)


def upgrade() -> None:
    """Makes them."""
    op.create_table(
        "audit_events",
        sa.Column("key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("call_id", sa.String(128), nullable=False),
        sa.Column("event_id", sa.String(200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("what", sa.String(64), nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("outcome", sa.String(128), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_audit_events"),
        sa.UniqueConstraint("tenant", "call_id", "event_id", name="uq_audit_events_tenant_call_id_event_id"),
    )
    op.create_index("ix_audit_events_tenant_at", "audit_events", ["tenant", "at"])
    if op.get_bind().dialect.name == "postgresql":
        _refuse_on_postgresql()
    else:
        _refuse_on_sqlite()


def downgrade() -> None:
    """Drops everything that was recorded."""
    op.drop_table("audit_events")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_events_refuse()")


def _refuse_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION audit_events_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}' USING ERRCODE = 'insufficient_privilege'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_events_refuse()"
    )
    # Also where a session switched ordinary triggers off (session_replication_role).
    op.execute("ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_append_only")


def _refuse_on_sqlite() -> None:
    for event in ("UPDATE", "DELETE"):
        name = f"audit_events_no_{event.lower()}"
        op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON audit_events BEGIN {_REFUSE}; END")
    # INSERT OR REPLACE deletes what is in its way without telling the trigger above.
    op.execute(
        f"CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events WHEN {_THERE} BEGIN {_REFUSE}; END"
    )
