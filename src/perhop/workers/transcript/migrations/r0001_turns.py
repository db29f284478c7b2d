"""Calls, turns, and the index over their words."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TABLES = ("transcript_cuts", "transcript_turns", "transcript_calls")


def upgrade() -> None:
    """Makes the tables and the full text index."""
    op.create_table(
        "transcript_calls",
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("call_id", sa.String(128), nullable=False),
        sa.Column("agent", sa.String(64)),
        sa.Column("began_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "call_id", name="pk_transcript_calls"),
    )
    op.create_index("ix_transcript_calls_seen_at", "transcript_calls", ["seen_at"])
    op.create_table(
        "transcript_turns",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("call_id", sa.String(128), nullable=False),
        sa.Column("event_id", sa.String(200), nullable=False),
        sa.Column("item_id", sa.String(200), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("spoken", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("said_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_transcript_turns"),
        sa.UniqueConstraint("tenant", "call_id", "event_id", name="uq_transcript_turns_tenant_call_id_event_id"),
    )
    op.create_index("ix_transcript_turns_tenant_call_id_said_at", "transcript_turns", ["tenant", "call_id", "said_at"])
    op.create_table(
        "transcript_cuts",
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("call_id", sa.String(128), nullable=False),
        sa.Column("item_id", sa.String(200), nullable=False),
        sa.Column("heard_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "call_id", "item_id", name="pk_transcript_cuts"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE transcript_turns ADD COLUMN found tsvector "
            "GENERATED ALWAYS AS (to_tsvector('simple', words)) STORED"
        )
        op.execute("CREATE INDEX ix_transcript_turns_found ON transcript_turns USING gin (found)")
    else:
        _index_on_sqlite()


def downgrade() -> None:
    """Drops them, and everything that was said."""
    if op.get_bind().dialect.name != "postgresql":
        op.execute("DROP TABLE transcript_found")
    for table in _TABLES:
        op.drop_table(table)


def _index_on_sqlite() -> None:
    op.execute(
        "CREATE VIRTUAL TABLE transcript_found USING fts5(words, content='transcript_turns', content_rowid='key', "
        "tokenize='unicode61 remove_diacritics 0')"
    )
    insert = "INSERT INTO transcript_found"
    added = f"{insert}(rowid, words) VALUES (new.key, new.words)"
    removed = f"{insert}(transcript_found, rowid, words) VALUES ('delete', old.key, old.words)"
    for name, event, body in (
        ("added", "INSERT", added),
        ("removed", "DELETE", removed),
        ("changed", "UPDATE", f"{removed}; {added}"),
    ):
        op.execute(f"CREATE TRIGGER transcript_turns_{name} AFTER {event} ON transcript_turns BEGIN {body}; END")
