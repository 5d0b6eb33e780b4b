//! How far a job has read its source, as pure rules: how cursors are written and read ([`cursor`]), how a walk over
//! changing pages is proved complete before its watermark moves ([`walk`]), how a feed of events goes on ([`feed`]), and
//! how a watermark is kept and written ([`mark`]). Nothing here does I/O.

pub mod cursor;
pub mod feed;
pub mod mark;
#[cfg(test)]
mod model;
pub mod walk;

pub use cursor::{Cursor, CursorFormat};
pub use feed::{Broken, Feed, FeedRules};
pub use mark::{BadMark, Mark};
pub use walk::{Next, PageFacts, Position, RowFact, Steps, Stuck, Walk, WalkRules, Walked};
