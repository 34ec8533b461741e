"""The rules of generate-reports: whose day has ended, what the figures say, what is missing, and how it is written."""
