"""Backups of the database: made, proven by a restore, kept for a while, and restored."""
