"""Teams: finding one by its name, and deleting one with everything of it."""
