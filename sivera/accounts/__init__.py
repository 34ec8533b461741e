"""Ad accounts, as the database knows them."""
