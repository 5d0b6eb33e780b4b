//! Kills around the ledger's writes.
