//! Rebuilds when a shipped file changes, and tells the binary which commit it was built from.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=models");
    println!("cargo:rerun-if-changed=experiments");
    // Where these lie depends on whether the checkout is a linked one; a path that does not exist would rebuild every time.
    for path in ["HEAD", "logs/HEAD"].iter().filter_map(|name| git(&["rev-parse", "--git-path", name])) {
        println!("cargo:rerun-if-changed={path}");
    }
    let commit = git(&["describe", "--always", "--dirty", "--abbrev=12"]);
    println!("cargo:rustc-env=HOLOGRAD_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}

/// What git says; nothing where there is no repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|o| o.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
