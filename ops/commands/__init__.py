"""The commands of `sivera`: one file a noun."""
