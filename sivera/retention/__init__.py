"""The cleanup: which rows have expired, how they are deleted, and when nothing may be deleted."""
