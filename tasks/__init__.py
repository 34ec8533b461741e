"""The tasks: retryable, visible steps that open the deps (clients, sessions) and delegate to `sivera`."""
