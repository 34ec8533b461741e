"""The rules of sync-campaigns: what is due, what is read, what is written, and what an account's failure means."""
