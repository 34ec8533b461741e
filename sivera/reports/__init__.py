"""The daily reports of teams: when one is due, its figures, what is unknown about them, and its files."""
