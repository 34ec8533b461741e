"""sync-campaigns: which accounts are due, what is read and written, and what an account's failure means."""
