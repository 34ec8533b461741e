"""The tasks: retryable, visible steps that open the edges (clients, sessions) and delegate to `sivera`."""
