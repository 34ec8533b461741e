"""The daily reports of teams: when one is due, what its figures say, what is missing, and how it is written."""
