"""`sivera doctor`: what is not well with an installation, and what mends it."""
