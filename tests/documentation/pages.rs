//! Pages of the documentation, as files of Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::common;

/// What stands before the name of a definition, or of a kind of experiment, whose fields follow.
const BEGIN: &str = "<!-- fields: ";
/// What stands behind them.
const END: &str = "<!-- end -->";

/// A page.
pub struct Page {
    /// Its path below `docs`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Where a definition is shown.
pub struct Place {
    /// The page's name.
    pub page: String,
    /// Its heading there.
    pub heading: String,
    /// What a link to the heading says; empty where it is the title of the page.
    pub anchor: String,
}

/// The index and the pages about configuration.
pub fn configuration() -> Vec<Page> {
    let mut names = vec!["configuration.md".to_owned()];
    names.extend(markdown("docs/configuration").into_iter().map(|name| format!("configuration/{name}")));
    names.into_iter().map(|name| Page::read(&name)).collect()
}

/// Every page that is written by hand, those of the repository's root included.
pub fn all() -> Vec<Page> {
    let mut pages: Vec<Page> = configuration();
    let folders = [("docs", ""), ("", "../"), ("benches", "../benches/"), ("examples", "../examples/")];
    for (folder, below) in folders {
        let names = markdown(folder).into_iter().map(|name| format!("{below}{name}"));
        pages.extend(names.filter(|name| name != "configuration.md").map(|name| Page::read(&name)));
    }
    pages
}

fn markdown(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(common::path(folder)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| Path::new(name).extension().is_some_and(|extension| extension == "md"));
    names.sort();
    names
}

/// Where each definition is shown, by its name.
pub fn places(pages: &[Page]) -> BTreeMap<String, Place> {
    let mut places = BTreeMap::new();
    for page in pages {
        let mut heading = "";
        for line in page.text.lines() {
            if line.starts_with('#') {
                heading = line;
            }
            let Some(name) = marked(line) else { continue };
            let words = heading.trim_start_matches('#').trim().to_owned();
            let anchor = if heading.starts_with("##") { slug(&words) } else { String::new() };
            let place = Place { page: page.name.clone(), heading: words, anchor };
            assert!(places.insert(name.to_owned(), place).is_none(), "{name} is shown twice");
        }
    }
    places
}

/// The name in a line that begins generated text.
fn marked(line: &str) -> Option<&str> {
    line.strip_prefix(BEGIN)?.strip_suffix(" -->")
}

/// The anchor that a heading gets.
fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

impl Page {
    fn read(name: &str) -> Self {
        let path = common::path(&format!("docs/{name}"));
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        Self { name: name.to_owned(), text }
    }

    /// Its file.
    pub fn path(&self) -> PathBuf {
        let path = PathBuf::from(common::path(&format!("docs/{}", self.name)));
        path.canonicalize().unwrap_or(path)
    }

    /// The page with what `generate` makes of each name between the marks.
    pub fn fill(&self, mut generate: impl FnMut(&str) -> String) -> String {
        let mut filled = String::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            filled += line;
            filled.push('\n');
            if let Some(name) = marked(line) {
                let ends = lines.any(|line| line == END);
                assert!(ends, "docs/{}: no {END} after the fields of {name}", self.name);
                filled += &format!("\n{}\n{END}\n", generate(name));
            }
        }
        filled
    }

    /// The examples in JSON, each with the definition that it is one of: empty for a whole file.
    pub fn examples(&self) -> Vec<(String, String)> {
        let blocks = self.text.split("\n```").skip(1).step_by(2);
        let examples = blocks.filter_map(|block| {
            let (tag, example) = block.split_once('\n')?;
            let definition = tag.strip_prefix("json")?.trim();
            Some((definition.to_owned(), example.to_owned()))
        });
        examples.collect()
    }

    /// The anchors of its headings.
    pub fn anchors(&self) -> BTreeSet<String> {
        let headings = self.text.lines().filter(|line| line.starts_with('#'));
        headings.map(|line| slug(line.trim_start_matches('#').trim())).collect()
    }

    /// The targets of its links within the repository.
    pub fn links(&self) -> Vec<String> {
        let targets = self.text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '\n']).next());
        targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
    }
}
