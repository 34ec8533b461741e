"""The domain: values, rules, queries and platform clients of Sivera Jobs. Knows nothing of Prefect."""
