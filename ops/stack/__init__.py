"""The local stack: PostgreSQL, a Prefect server, a worker, the HTTP API and the sandbox, as children of one process."""
