"""What became of each scheduled time and of each run by hand, computed when asked."""
