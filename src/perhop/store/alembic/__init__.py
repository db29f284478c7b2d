"""What Alembic runs for every schema; the migrations themselves are with their owners."""
