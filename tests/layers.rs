//! The modules form layers: each may use those before it in `src/lib.rs` and none after it. `sandbox` stands apart:
//! only `cli` uses it, and it uses nothing of the crate.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The modules in the order of the map.
fn order(map: &str) -> Vec<String> {
    let module = |line: &str| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned());
    map.lines().filter_map(module).collect()
}

/// The top-level modules a source text names as `crate::x`, also in `use crate::{x::…, y}`.
fn imports(source: &str) -> BTreeSet<String> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut found = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        // `othercrate::` and `$crate::` are other things.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(first_segments(group)),
            None => found.extend(first_segment(rest)),
        }
    }
    found
}

fn first_segment(path: &str) -> Option<String> {
    let segment: String =
        path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!segment.is_empty()).then_some(segment)
}

/// The first segments of `a::{b, c}, d}…`, up to the brace that closes the group.
fn first_segments(group: &str) -> Vec<String> {
    let mut segments: Vec<String> = first_segment(group).into_iter().collect();
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => segments.extend(first_segment(&group[at + 1..])),
            _ => {}
        }
    }
    segments
}

/// What is wrong with this module's imports.
fn wrong(module: &str, source: &str, order: &[String]) -> Vec<String> {
    let place = |name: &str| order.iter().position(|module| module == name);
    imports(source)
        .into_iter()
        .filter(|import| import != module)
        .filter_map(|import| {
            let to = place(&import)?;
            let allowed = match (module, import.as_str()) {
                ("sandbox", _) => false,
                (_, "sandbox") => module == "cli",
                _ => to < place(module)?,
            };
            (!allowed).then(|| format!("`{module}` uses `{import}`, which is not to its left"))
        })
        .collect()
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn no_module_imports_to_its_right() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let order = order(&std::fs::read_to_string(src.join("lib.rs")).unwrap());
    assert!(order.len() > 20, "the map was not read: {order:?}");
    let mut files = Vec::new();
    rust_files(&src, &mut files).unwrap();
    let mut problems = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        let top = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = top.strip_suffix(".rs").unwrap_or(top);
        if module == "lib" || module == "main" {
            continue;
        }
        assert!(order.iter().any(|known| known == module), "{} is not on the map", inside.display());
        let source = std::fs::read_to_string(&file).unwrap();
        problems.extend(
            wrong(module, &source, &order).iter().map(|problem| format!("{}: {problem}", inside.display())),
        );
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn an_import_to_the_right_is_seen_however_it_is_written() {
    let order = order("pub mod clock;\npub mod run;\npub mod state;\npub mod cli;\npub mod sandbox;\n");
    let count = |module: &str, source: &str| wrong(module, source, &order).len();
    assert_eq!(count("run", "use crate::clock::Clock;"), 0);
    assert_eq!(count("run", "use crate::state::Store;"), 1);
    assert_eq!(count("run", "fn f() { let x = crate::state::open(); }"), 1);
    assert_eq!(count("run", "use crate::{clock::{Clock, SetClock}, cli, state::Store};"), 2);
    assert_eq!(count("run", "use crate::{\n    clock,\n    state,\n};"), 1);
    assert_eq!(count("run", "pub(crate) use crate::run::Slot;\n// crate::state is to the right"), 0);
    assert_eq!(count("run", "use othercrate::state::Store;"), 0);
    assert_eq!(count("cli", "use crate::sandbox;"), 0);
    assert_eq!(count("state", "use crate::sandbox;"), 1);
    assert_eq!(count("sandbox", "use crate::clock;"), 1);
}
