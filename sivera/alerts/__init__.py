"""The rules of check-alerts: what people are notified of, and which messages each channel still lacks."""
