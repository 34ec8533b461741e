"""The rules of check-alerts: what people are notified of, and which message each channel still has to take."""
