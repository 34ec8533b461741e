"""Ad accounts and teams, as the database knows them."""
