//! Reads a table key by key. Every key asked for is known from then on; a wrong value is reported and reading goes on;
//! what nobody asked for by [`Table::finish`] is an unknown key.

use super::diagnostic::{Diagnostic, OriginKind, Place, nearest};
use super::document::{Node, Value};
use super::units::Wrong;
use std::cell::RefCell;

#[cfg(test)]
thread_local! {
    /// The tables this thread has read, each by its path and the keys that were asked for: the schema is held to them.
    pub(super) static KNOWN: RefCell<Vec<(Vec<String>, Vec<&'static str>)>> = RefCell::default();
}

/// What has been found wrong, or worth a warning, so far.
#[derive(Default)]
pub(super) struct Report {
    pub(super) errors: RefCell<Vec<Diagnostic>>,
    pub(super) warnings: RefCell<Vec<Diagnostic>>,
}

/// A table being read.
pub(super) struct Table<'a> {
    /// The table itself.
    pub(super) node: &'a Node,
    /// Where it is in the tree.
    path: Vec<String>,
    report: &'a Report,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    /// The whole tree.
    pub(super) fn root(node: &'a Node, report: &'a Report) -> Self {
        Self { node, path: Vec::new(), report, known: RefCell::default() }
    }

    /// A table below this one, if `node` is one; otherwise that is reported.
    pub(super) fn below(&self, key: &str, node: &'a Node) -> Option<Self> {
        if !matches!(node.value, Value::Table(_)) {
            let wrong = Wrong::new(format!("expected a table, found {}", node.kind()));
            self.refuse(key, node, wrong);
            return None;
        }
        let path = self.path.iter().cloned().chain([key.to_owned()]).collect();
        Some(Self { node, path, report: self.report, known: RefCell::default() })
    }

    /// The table under a key.
    pub(super) fn table(&self, key: &'static str) -> Option<Self> {
        self.below(key, self.take(key)?)
    }

    /// The node under a key.
    pub(super) fn take(&self, key: &'static str) -> Option<&'a Node> {
        self.known.borrow_mut().push(key);
        self.node.get(key)
    }

    /// The value under a key, if there is one and it is right.
    pub(super) fn get<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&'a Node) -> Result<T, Wrong>,
    ) -> Option<T> {
        let node = self.take(key)?;
        self.read(key, node, read)
    }

    /// The value under a key that must be there.
    pub(super) fn require<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&'a Node) -> Result<T, Wrong>,
    ) -> Option<T> {
        if self.node.get(key).is_none() {
            self.error(Some(key), &self.node.key_at, Wrong::new("is missing"));
        }
        self.get(key, read)
    }

    /// The values of a list under a key, those of them that are right; one value stands for a list of one.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        read: impl Fn(&'a Node) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        let node = self.take(key)?;
        Some(node.elements().iter().filter_map(|node| self.read(key, node, &read)).collect())
    }

    /// The same for a list that must be there and name something.
    pub(super) fn some<T>(
        &self,
        key: &'static str,
        read: impl Fn(&'a Node) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        match self.node.get(key).map(|node| &node.value) {
            None => self.error(Some(key), &self.node.key_at, Wrong::new("is missing")),
            Some(Value::Array(list)) if list.is_empty() => {
                self.error(Some(key), &self.place(key), Wrong::new("must not be empty"));
            }
            Some(_) => {}
        }
        self.list(key, read).filter(|list| !list.is_empty())
    }

    /// The same for a list that may be left out, but not be empty.
    pub(super) fn some_if_given<T>(
        &self,
        key: &'static str,
        read: impl Fn(&'a Node) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        match self.node.get(key) {
            Some(_) => self.some(key, read),
            None => self.list(key, read),
        }
    }

    /// The values of a table whose keys are free, in the order written.
    pub(super) fn entries<T>(
        &self,
        key: &'static str,
        read: impl Fn(&Self, &str, &'a Node) -> Result<T, Wrong>,
    ) -> Option<Vec<(String, T)>> {
        let table = self.table(key)?;
        let value = |(name, node): &'a (String, Node)| {
            Some((name.clone(), table.read(name, node, |node| read(&table, name, node))?))
        };
        Some(table.node.entries().iter().filter_map(value).collect())
    }

    /// A value, or a report of what is wrong with it.
    pub(super) fn read<T>(
        &self,
        key: &str,
        node: &'a Node,
        read: impl FnOnce(&'a Node) -> Result<T, Wrong>,
    ) -> Option<T> {
        read(node).map_err(|wrong| self.refuse(key, node, wrong)).ok()
    }

    /// The table's own key.
    pub(super) fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// Where the value of a key stands, or else the table.
    pub(super) fn place(&self, key: &str) -> Place {
        self.node.get(key).map_or_else(|| self.node.key_at.clone(), |node| node.at.clone())
    }

    /// Reports a mistake with the value of a key, or with the table.
    pub(super) fn error(&self, key: Option<&str>, place: &Place, wrong: Wrong) {
        self.report.errors.borrow_mut().push(wrong.diagnostic(place, &self.key(key)));
    }

    /// Reports what is allowed but probably not meant.
    pub(super) fn warn(&self, key: Option<&str>, place: &Place, wrong: Wrong) {
        self.report.warnings.borrow_mut().push(wrong.diagnostic(place, &self.key(key)));
    }

    /// Reports the keys nobody asked for. To be called once every key has been asked for.
    pub(super) fn finish(&self) {
        let known = self.known.borrow();
        #[cfg(test)]
        KNOWN.with_borrow_mut(|tables| tables.push((self.path.clone(), known.clone())));
        for (key, node) in self.node.entries() {
            if !known.contains(&key.as_str()) {
                let near = nearest(key, known.iter().copied());
                let near = near.map(|near| self.as_written(near, &node.key_at));
                let help = near.map(|near| format!("did you mean `{near}`?"));
                self.error(Some(key), &node.key_at, Wrong::new("unknown key").help(help));
            }
        }
    }

    /// Whether anything has been found wrong so far.
    pub(super) fn is_clean_since(&self, errors_before: usize) -> bool {
        self.report.errors.borrow().len() == errors_before
    }

    /// How many mistakes have been found so far.
    pub(super) fn errors(&self) -> usize {
        self.report.errors.borrow().len()
    }

    fn refuse(&self, key: &str, node: &Node, wrong: Wrong) {
        self.error(Some(key), &node.at, wrong);
    }

    fn key(&self, key: Option<&str>) -> String {
        self.path.iter().map(String::as_str).chain(key).collect::<Vec<_>>().join(".")
    }

    /// A key as the operator would write it in that place: of a variable, the whole name.
    fn as_written(&self, key: &str, place: &Place) -> String {
        if place.kind != OriginKind::Variable {
            return key.to_owned();
        }
        let name = key.to_uppercase().replace('-', "_");
        let mut steps: Vec<&str> = place.file.split("__").collect();
        let prefixed = format!("CADENCED_{name}");
        if let Some(step) = steps.get_mut(self.path.len()) {
            *step = if self.path.is_empty() { &prefixed } else { &name };
        }
        steps.join("__")
    }
}
