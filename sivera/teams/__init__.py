"""Teams: finding them by name, and deleting one with everything that belongs to it."""
