"""Alembic's revisions of the database, run by `sivera.database.migrate`."""
