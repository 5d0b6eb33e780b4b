//! Promises of the simulated ONe.
