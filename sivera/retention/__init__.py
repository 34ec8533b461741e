"""The cleanup: which rows have expired, how they are deleted, and when the cleanup is refused."""
