"""Run by Alembic, inside the transaction and with the schema that :mod:`perhop.store.schema` hands it."""

from __future__ import annotations

from alembic import context

_schema = context.config.attributes["schema"]

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=_schema.metadata,
    version_table=_schema.version_table,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
