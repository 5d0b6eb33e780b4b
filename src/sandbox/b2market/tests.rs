//! Promises of the simulated B2Market.
