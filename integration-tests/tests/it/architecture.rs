//! The architecture is a test: who depends on whom, and how long a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Longest file, in lines.
const MAX_LINES: usize = 600;

/// Package, and what must not be in the tree of its normal dependencies (docs/architecture.md).
const NEVER: &[(&str, &[&str])] = &[
    ("proto", &["tokio", "tonic", "hyper"]),
    ("proto-services", &["redb", "nix"]),
    ("cgroups", &["tokio", "tonic", "proto"]),
    ("mounts", &["tokio", "tonic", "proto"]),
    ("oci", &["tokio", "tonic", "proto"]),
    ("logfile", &["tokio", "tonic", "proto"]),
    ("archive", &["tokio", "tonic"]),
    ("registry", &["redb", "tonic"]),
    ("runc-rs", &["tokio", "tonic", "hyper", "proto"]),
    ("shim-rs", &["tokio", "tonic", "hyper", "runc-rs", "containerd-rs"]),
    ("containerd-client", &["redb", "containerd-rs"]),
    ("containerd-rs", &["runc-rs", "shim-rs", "cgroups", "engine"]),
    ("engine", &["containerd-rs", "shim-rs", "runc-rs"]),
    ("engine-cli", &["engine", "containerd-client", "tonic"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(args).current_dir(root()).output().expect("run cargo");
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Our packages, each with its normal dependencies among our packages.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"]))
            .expect("metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"]
                .as_array()
                .expect("dependencies")
                .iter()
                .filter(|d| d["kind"].is_null())
                .filter_map(|d| d["name"].as_str())
                .filter(|name| ours.contains(name));
            (package["name"].as_str().expect("name").to_owned(), dependencies.map(str::to_owned).collect())
        })
        .collect()
}

#[test]
fn packages_depend_on_each_other_only_as_edges_txt_says() {
    let found: String = edges()
        .into_iter()
        .map(|(package, dependencies)| {
            format!("{package}: {}\n", dependencies.into_iter().collect::<Vec<_>>().join(" "))
                .replace(": \n", ":\n")
        })
        .collect();
    let committed = include_str!("edges.txt");
    assert_eq!(found, committed, "an edge changed: is it in STYLE's table? Then edit edges.txt");
}

#[test]
fn no_layer_pulls_in_what_its_place_forbids() {
    for (package, forbidden) in NEVER {
        let tree = cargo(&[
            "tree", "--locked", "-p", package, "-e", "normal", "--prefix", "none", "--format", "{p}",
        ]);
        let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        for name in *forbidden {
            assert!(!names.contains(name), "{package} must not depend on {name}");
        }
    }
}

fn walk(dir: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(dir).expect("read a source folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            walk(&path, visit);
        } else if path.is_file() {
            visit(&path);
        }
    }
}

#[test]
fn no_source_file_is_longer_than_a_reader_can_hold() {
    let mut long = Vec::new();
    walk(&root(), &mut |path| {
        if path.extension().is_some_and(|e| e == "rs") {
            let lines = std::fs::read_to_string(path).expect("a source file").lines().count();
            if lines > MAX_LINES {
                long.push(format!("{}: {lines}", path.display()));
            }
        }
    });
    assert!(long.is_empty(), "over {MAX_LINES} lines: {long:#?}");
}

#[test]
fn every_package_takes_the_workspace_lints() {
    let mut without = Vec::new();
    walk(&root(), &mut |path| {
        if path.file_name().is_some_and(|n| n == "Cargo.toml") && path.parent() != Some(root().as_path()) {
            let manifest = std::fs::read_to_string(path).expect("a manifest");
            if !manifest.contains("[lints]\nworkspace = true") {
                without.push(path.to_owned());
            }
        }
    });
    assert!(without.is_empty(), "no `[lints] workspace = true`: {without:?}");
}

#[test]
fn the_project_reaches_nothing_outside_its_tree() {
    let mut outside = Vec::new();
    let needle = format!("{}/shared", "..");
    walk(&root(), &mut |path| {
        let Ok(text) = std::fs::read_to_string(path) else { return };
        if text.contains(&needle) && !path.ends_with("architecture.rs") {
            outside.push(path.to_owned());
        }
    });
    assert!(outside.is_empty(), "{outside:?} name a folder outside the repository");
}
