"""The rules of check-budgets: what each platform may spend of a budget, how far it is spent, and when that is told."""
