"""sync-campaigns: which accounts are due, what is read and stored, and what a failure means."""
