//! The pages of `docs/configuration`: their tables are what `holograd schema` says, their examples are legal, their links lead
//! somewhere. `HOLOGRAD_BLESS=1 cargo test --test main documentation::` writes the tables anew.

mod pages;
pub(crate) mod records;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use holograd::experiment::{self, Site, library};
use serde_json::Value;

use crate::cli::valid;
use crate::common;
use crate::program::{copy_folder, run, succeed, text};
use pages::Page;
use tables::Tables;

/// The variable that asks for tables to be written instead of compared.
const BLESS: &str = "HOLOGRAD_BLESS";

fn schema() -> Value {
    let folder = tempfile::tempdir().unwrap();
    serde_json::from_str(&succeed(folder.path(), &["schema"])).unwrap()
}

#[test]
fn the_tables_say_what_the_schema_says() {
    let schema = schema();
    let pages = pages::configuration();
    let places = pages::places(&pages);
    let mut written = BTreeSet::new();
    for page in &pages {
        let mut tables = Tables::new(&schema, &places, &page.name);
        let filled = page.fill(|name| tables.section(name));
        written.append(&mut tables.written);
        if std::env::var_os(BLESS).is_some() {
            fs::write(page.path(), filled).unwrap();
        } else {
            assert!(
                filled == page.text,
                "docs/{} is not what the schema says: `{BLESS}=1 cargo test --test main documentation::` writes it",
                page.name
            );
        }
    }
    let kinds = schema["then"]["properties"]["kind"]["enum"].as_array().unwrap();
    for kind in kinds {
        assert!(places.contains_key(kind.as_str().unwrap()), "no page shows the kind {kind}");
    }
    for name in schema["$defs"].as_object().unwrap().keys() {
        let is_kind =
            kinds.iter().any(|kind| kind.as_str().is_some_and(|kind| tables::is_of_kind(name, kind)));
        let told = is_kind || places.contains_key(name.as_str()) || written.contains(name);
        assert!(told, "no page shows `{name}`");
    }
}

/// Whole experiments and models are checked by the program. A part names its definition after `json`.
#[test]
fn every_example_is_legal() {
    let schema = schema();
    let folder = tempfile::tempdir().unwrap();
    for name in ["models", "experiments"] {
        copy_folder(Path::new(&common::path(name)), &folder.path().join(name));
    }
    let mut kinds = BTreeSet::new();
    for page in pages::configuration() {
        for (definition, example) in page.examples() {
            let what = format!("docs/{}: {example}", page.name);
            let value: Value = serde_json::from_str(&example).unwrap_or_else(|e| panic!("{what}: {e}"));
            if !definition.is_empty() {
                let part = &schema["$defs"][definition.as_str()];
                assert!(part.is_object() && valid(&schema, part, &value), "{what} is no {definition}");
            } else if value.get("kind").is_some() || value.get("layers").is_some() {
                fs::write(folder.path().join("experiments/example.json"), &example).unwrap();
                let output = run(folder.path(), &["check", "experiments/example.json"]);
                assert!(output.status.success(), "{what}: {}", text(&output.stderr));
                kinds.insert(value["kind"].as_str().unwrap_or("model").to_owned());
            }
        }
    }
    for kind in experiment::KINDS.iter().chain(&["model"]) {
        assert!(kinds.contains(*kind), "no example of {kind}");
    }
}

/// What stands in backticks and begins as an object is JSON, unless it leaves something out.
#[test]
fn objects_in_the_text_are_json() {
    let mut count = 0;
    for page in pages::configuration() {
        for span in page.text.split('`').skip(1).step_by(2) {
            if span.starts_with("{\"") && !span.contains(['…', '\n']) && !span.contains("\", \"") {
                assert!(serde_json::from_str::<Value>(span).is_ok(), "docs/{}: {span}", page.name);
                count += 1;
            }
        }
    }
    assert!(count > 5, "{count}");
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages::all();
    let anchors: BTreeMap<_, _> = pages.iter().map(|page| (page.path(), page.anchors())).collect();
    let mut count = 0;
    for page in &pages {
        for link in page.links() {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let place = page.path();
            let target = if file.is_empty() { place } else { place.parent().unwrap().join(file) };
            let what = format!("{}: {link}", page.path().display());
            let target = target.canonicalize().unwrap_or_else(|e| panic!("{what}: {e}"));
            let known = anchors.get(&target);
            assert!(anchor.is_empty() || known.is_none_or(|known| known.contains(anchor)), "{what}");
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

/// Every number that the schema forbids is refused by the program, whose message names its field.
#[test]
fn what_the_schema_forbids_is_refused() {
    let schema = schema();
    let (mut seen, mut astray) = (BTreeSet::new(), Vec::new());
    for name in library::experiments() {
        let loaded = experiment::load(&name, &[]).unwrap();
        let value = serde_json::to_value(&loaded.experiment).unwrap();
        let mut forbidden = Vec::new();
        tables::forbidden(&schema, &schema, &value, "", &mut forbidden);
        for (place, path, number) in forbidden {
            // Once for each field and bound. Sweeps tell of another file, and `--set` ends a path at `=`.
            if value["kind"] == "sweep" || path.contains('=') || !seen.insert((place, number.to_string())) {
                continue;
            }
            let case = format!("{name} with {path} = {number}");
            let field = path.rsplit('.').find(|part| part.parse::<usize>().is_err()).unwrap();
            let loaded = experiment::load(&name, &[format!("{path}={number}")]);
            match loaded.and_then(|loaded| match loaded.site() {
                Site::Neurons(setup) => loaded.experiment.kind().check(&setup),
                Site::Circuit(_) => Ok(()),
            }) {
                Ok(()) => astray.push(format!("{case} is accepted")),
                Err(error) if !error.to_string().contains(field) => astray.push(format!("{case}: {error}")),
                Err(_) => {}
            }
        }
    }
    assert!(astray.is_empty(), "{}", astray.join("\n"));
    assert!(seen.len() > 60, "{}", seen.len());
}

#[test]
fn a_page_is_filled_between_its_marks() {
    let page = Page {
        name: "configuration/a.md".to_owned(),
        text: "# A\n\n## Two words, `x`\n\n<!-- fields: X -->\nold\n<!-- end -->\nlast\n".to_owned(),
    };
    let filled = page.fill(|name| format!("new {name}\n"));
    assert_eq!(filled, "# A\n\n## Two words, `x`\n\n<!-- fields: X -->\n\nnew X\n\n<!-- end -->\nlast\n");
    assert!(page.anchors().contains("two-words-x"));
    assert_eq!(pages::places(&[page])["X"].anchor, "two-words-x");
}

/// Source files that pages name lie where the pages say, below `src`, `tests` or the root.
#[test]
fn every_named_source_file_is_there() {
    let mut count = 0;
    for page in pages::all() {
        for span in page.text.split('`').skip(1).step_by(2) {
            if span.contains('/') && span.ends_with(".rs") && !span.contains(['\n', ' ']) {
                let found = ["", "src/", "tests/"]
                    .iter()
                    .any(|below| Path::new(&common::path(&format!("{below}{span}"))).exists());
                assert!(found, "docs/{}: there is no {span}", page.name);
                count += 1;
            }
        }
    }
    assert!(count > 60, "{count}");
}
