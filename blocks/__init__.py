"""The blocks: what the Prefect server keeps for us, and the setup that saves it."""
