//! How far a job has read its source: the rules of a walk and of its commit, pure.

use serde::{Deserialize, Serialize};

/// How far a source has been read once the records before it are safe. Opaque to the copy loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {}
