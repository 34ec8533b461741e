"""The tasks: retryable, visible steps that open clients and sessions and delegate to `sivera`."""
