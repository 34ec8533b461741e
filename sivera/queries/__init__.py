"""All SQL: one module a subject, one function a question, the session first. No function commits."""
