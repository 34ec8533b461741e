"""The blocks: what the Prefect server stores for us, and the setup that saves it."""
