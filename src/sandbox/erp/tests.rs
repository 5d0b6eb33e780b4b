//! Promises of the sample ERP.
