"""Homes, and the index over their words."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_WORDS = ("city", "area", "street", "kind", "features_text", "description")


def upgrade() -> None:
    """Makes the table and its full text index."""
    op.create_table(
        "listings_homes",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(128), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("city", sa.String(100), nullable=False),
        sa.Column("city_key", sa.String(200), nullable=False),
        sa.Column("area", sa.String(100), nullable=False),
        sa.Column("street", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("bedrooms", sa.Integer(), nullable=False),
        sa.Column("bathrooms", sa.Integer(), nullable=False),
        sa.Column("price", sa.Integer(), nullable=False),
        sa.Column("square_feet", sa.Integer()),
        sa.Column("pets", sa.Boolean()),
        sa.Column("available_from", sa.Date()),
        sa.Column("features", sa.JSON(), nullable=False),
        sa.Column("features_text", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_listings_homes"),
        sa.UniqueConstraint("tenant", "id", name="uq_listings_homes_tenant_id"),
    )
    op.create_index(
        "ix_listings_homes_tenant_city_key_bedrooms_price",
        "listings_homes",
        ["tenant", "city_key", "bedrooms", "price"],
    )
    if op.get_bind().dialect.name == "postgresql":
        _index_on_postgresql()
    else:
        _index_on_sqlite()


def downgrade() -> None:
    """Drops them, and every home in them."""
    if op.get_bind().dialect.name != "postgresql":
        op.execute("DROP TABLE listings_words")
    op.drop_table("listings_homes")


def _index_on_postgresql() -> None:
    text = " || ' ' || ".join(_WORDS)
    op.execute(
        "ALTER TABLE listings_homes ADD COLUMN words tsvector "
        f"GENERATED ALWAYS AS (to_tsvector('english', {text})) STORED"
    )
    op.execute("CREATE INDEX ix_listings_homes_words ON listings_homes USING gin (words)")


def _index_on_sqlite() -> None:
    columns = ", ".join(_WORDS)
    new, old = (", ".join(f"{row}.{one}" for one in _WORDS) for row in ("new", "old"))
    insert = "INSERT INTO listings_words"
    added = f"{insert}(rowid, {columns}) VALUES (new.key, {new})"
    removed = f"{insert}(listings_words, rowid, {columns}) VALUES ('delete', old.key, {old})"
    op.execute(
        f"CREATE VIRTUAL TABLE listings_words USING fts5({columns}, content='listings_homes', content_rowid='key', "
        "tokenize='porter unicode61 remove_diacritics 2')"
    )
    for name, event, body in (
        ("added", "INSERT", added),
        ("removed", "DELETE", removed),
        ("changed", "UPDATE", f"{removed}; {added}"),
    ):
        op.execute(f"CREATE TRIGGER listings_homes_{name} AFTER {event} ON listings_homes BEGIN {body}; END")
