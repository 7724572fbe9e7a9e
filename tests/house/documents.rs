//! Promise: what the documents name is there: every file of CONTRIBUTING.md, and every relative link
//! of every document.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What stands between `open` and `close`, wherever that is in a line.
fn between<'t>(text: &'t str, open: &str, close: char) -> Vec<&'t str> {
    let parts = text.split(open).skip(1);
    parts.filter_map(|part| part.split_once(close)).map(|(inside, _)| inside).collect()
}

#[test]
fn the_files_that_contributing_names_exist() {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let folders = ["benches/", "docs/", "engine/", "fuzz/", "tests/", "tools/", ".ci/"];
    let mut found = 0;
    // Every second part of a line stands between marks.
    for word in text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
        let is_path = folders.iter().any(|folder| word.starts_with(folder));
        // NAME stands for the reader's own.
        if is_path && !word.contains([' ', '*']) && !word.contains("NAME") {
            assert!(root().join(word).exists(), "CONTRIBUTING.md names {word}");
            found += 1;
        }
    }
    assert!(found > 40, "{found} files were found in the page");
}

#[test]
fn links_of_documents_lead_somewhere() {
    let mut pages = vec![root().join("fuzz/README.md")];
    for folder in [root().to_owned(), root().join("docs")] {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    let mut found = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let folder: PathBuf = page.parent().unwrap().to_owned();
        for link in text.lines().flat_map(|line| between(line, "](", ')')) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if link.contains("://") {
                continue;
            }
            let target = if file.is_empty() { page.clone() } else { folder.join(file) };
            assert!(target.exists(), "{} links to {link}", page.display());
            if !anchor.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let is_there = headings.any(|heading| anchor_of(heading) == anchor);
                assert!(is_there, "{} links to {link}: no such heading", page.display());
            }
            found += 1;
        }
    }
    assert!(found > 60, "{found} links were found");
}

/// The anchor that a heading gets: small letters, digits and dashes.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
