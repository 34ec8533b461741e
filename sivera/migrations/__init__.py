"""Alembic's revisions of the database, run by `sivera.migrating.migrate`."""
