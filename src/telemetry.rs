//! Logging set-up, metric names, redaction of secrets.
