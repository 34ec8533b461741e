"""The rules of cleanup-expired-tokens: what has expired, in which batches it goes, and when nothing may go at all."""
