"""The rules of check-alerts: what a person should be told of, once when it begins and once when it is over."""
