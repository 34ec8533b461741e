"""The rules of check-budgets: what a platform may spend of a budget, how much is spent, and when to alert."""
