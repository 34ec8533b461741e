"""Teams: deleting one with everything of it."""
