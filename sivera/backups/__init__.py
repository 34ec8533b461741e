"""Backups of the database: make them, prove them by a restore, keep some of them, and restore one."""
