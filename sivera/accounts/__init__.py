"""Ad accounts in the database."""
