//! How far a job has read its source, as pure rules: how cursors are written and read ([`cursor`]), and how a walk
//! over changing pages is proved complete before its watermark moves ([`walk`]). Nothing here does I/O.

pub mod cursor;
pub mod walk;

pub use cursor::{Cursor, CursorFormat};
pub use walk::{Ask, PageFacts, Progress, RowFact, Stuck, Walk, WalkRules, Walked};
