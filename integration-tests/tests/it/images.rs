//! Images: what a pull says, how they are listed, what their removal takes and who is in its way.

use integration_tests::PlatformIndex;

use crate::clients::{IMAGE, Place, on_each};

/// An image for several platforms above the same base; its repository has no other tag.
const MULTI: &str = "127.0.0.1:5000/multi:1";

fn push_multi(at: &Place<'_>) {
    let index = PlatformIndex::build(at.dir, &["amd64", "arm64"]);
    at.registry.copy(at.netns, &format!("oci:{}:1", index.layout.display()), "multi:1");
}

/// Lines of a pull that aren't about bytes.
fn pull(at: &Place<'_>, name: &str) -> Vec<String> {
    let said = at.run(&["pull", name]).ok();
    let about_bytes = |line: &&str| {
        ["Verifying Checksum", "Download complete", "Waiting"].iter().any(|w| line.ends_with(w))
    };
    said.lines().filter(|line| !about_bytes(line)).map(str::to_owned).collect()
}

fn remove_all(at: &Place<'_>) {
    let ids = at.run(&["images", "-q"]).ok();
    for id in ids.lines().collect::<std::collections::BTreeSet<_>>() {
        at.run(&["rmi", "-f", id]).ok();
    }
    assert_eq!(at.run(&["images", "-aq"]).ok(), "", "{}", at.name);
}

fn digest_of(at: &Place<'_>, image: &str) -> String {
    at.run(&["inspect", "-f", "{{index .RepoDigests 0}}", image]).ok()
}

#[test]
fn a_pull_tells_of_each_layer_what_became_of_it() {
    on_each(|at| {
        remove_all(at);
        push_multi(at);
        let first = pull(at, IMAGE);
        assert_eq!(first[0], "1: Pulling from busybox", "{}", at.name);
        let of = |what: &str, lines: &[String]| -> Vec<String> {
            lines
                .iter()
                .filter_map(|line| Some(line.split_once(": ").filter(|(_, w)| *w == what)?.0.to_owned()))
                .collect()
        };
        let layers = of("Pulling fs layer", &first);
        assert!(layers.len() == 3 && of("Pull complete", &first) == layers, "{}: {first:#?}", at.name);
        assert!(layers.iter().all(|id| id.len() == 12), "{}: {layers:?}", at.name);
        let digest = digest_of(at, IMAGE).split_once('@').expect("a digest").1.to_owned();
        let end = [
            format!("Digest: {digest}"),
            format!("Status: Downloaded newer image for {IMAGE}"),
            IMAGE.to_owned(),
        ];
        assert_eq!(first[first.len() - 3..], end, "{}", at.name);

        let end = [end[0].clone(), format!("Status: Image is up to date for {IMAGE}"), end[2].clone()];
        let again = pull(at, IMAGE);
        assert_eq!(again[1..], end, "{}: nothing of layers", at.name);

        let shared = pull(at, MULTI);
        assert_eq!(of("Already exists", &shared), layers[..1], "{}: {shared:#?}", at.name);
        assert_eq!(of("Pull complete", &shared).len(), 1, "{}: {shared:#?}", at.name);
        assert_eq!(at.run(&["run", "--rm", MULTI, "cat", "/arch"]).ok(), "amd64", "{}", at.name);

        assert_eq!(at.run(&["pull", "-q", IMAGE]).ok(), IMAGE, "{}", at.name);
        let missing = at.run(&["pull", "127.0.0.1:5000/busybox"]);
        assert_eq!(
            (missing.code, missing.stdout.as_str()),
            (1, "Using default tag: latest\n"),
            "{}",
            at.name
        );
        let words =
            "manifest for 127.0.0.1:5000/busybox:latest not found: manifest unknown: manifest unknown";
        assert!(missing.stderr.contains(words), "{}: {}", at.name, missing.stderr);
        at.refused(&["pull", "BAD"], 1, "invalid reference format");
        remove_all(at);
        at.run(&["pull", "-q", IMAGE]).ok();
    });
}

#[test]
fn an_image_by_digest_has_no_tag_and_is_run_and_removed_by_it() {
    on_each(|at| {
        push_multi(at);
        at.run(&["pull", "-q", MULTI]).ok();
        let name = digest_of(at, MULTI);
        at.run(&["rmi", MULTI]).ok();
        let said = pull(at, &name);
        let digest = name.split_once('@').expect("a digest").1;
        assert_eq!(said[0], format!("{name}: Pulling from multi"), "{}", at.name);
        let end =
            [format!("Digest: {digest}"), format!("Status: Downloaded newer image for {name}"), name.clone()];
        assert_eq!(said[said.len() - 3..], end, "{}", at.name);
        let row = |options: &[&str]| {
            let rows = at.run(&[&["images"], options].concat()).ok();
            let row = rows.lines().find(|row| row.contains("/multi")).unwrap_or_default();
            row.split_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row(&[])[..2], ["127.0.0.1:5000/multi", "<none>"], "{}", at.name);
        assert_eq!(row(&["--digests"]), ["127.0.0.1:5000/multi", "<none>", digest], "{}", at.name);
        assert_eq!(at.run(&["run", "--rm", &name, "cat", "/arch"]).ok(), "amd64", "{}", at.name);
        let again = pull(at, &name);
        assert_eq!(again[2], format!("Status: Image is up to date for {name}"), "{}: {again:?}", at.name);
        let removed = at.run(&["rmi", &name]).ok();
        assert_eq!(
            removed.lines().next(),
            Some(format!("Untagged: {name}").as_str()),
            "{}: {removed}",
            at.name
        );
        assert!(removed.contains("Deleted: sha256:"), "{}: {removed}", at.name);
        let wrong = format!("127.0.0.1:5000/multi@sha256:{}", "0".repeat(64));
        at.refused(&["pull", &wrong], 1, "not found");
    });
}

#[test]
fn several_tags_are_rows_of_one_image_which_goes_with_the_last() {
    on_each(|at| {
        for tag in ["a:1", "a:2", "b"] {
            at.run(&["tag", IMAGE, tag]).ok();
        }
        let id = at.run(&["inspect", "-f", "{{.Id}}", IMAGE]).ok();
        let short = &id["sha256:".len()..][..12];
        let rows = at.run(&["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]).ok();
        let mut rows: Vec<&str> = rows.lines().collect();
        rows.sort_unstable();
        let expected = [IMAGE, "a:1", "a:2", "b:latest"].map(|name| format!("{name} {short}"));
        assert_eq!(rows, expected, "{}", at.name);
        assert_eq!(at.run(&["images", "-q"]).ok(), [short; 4].join("\n"), "{}", at.name);
        assert_eq!(at.run(&["images", "-q", "--no-trunc", "b"]).ok(), id, "{}", at.name);
        let tags = at.run(&["inspect", "-f", "{{len .RepoTags}}", &id[7..19]]).ok();
        assert_eq!(tags, "4", "{}", at.name);

        assert_eq!(at.run(&["rmi", "a:1"]).ok(), "Untagged: a:1", "{}", at.name);
        for name in [id.as_str(), &id[7..], short, &short[..7]] {
            let words = format!(
                "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
            );
            at.refused(&["rmi", name], 1, &words);
        }
        at.refused(&["rmi", "nosuch"], 1, "No such image: nosuch:latest");
        at.run(&["rmi", "a:2", "b"]).ok();
        // By the beginning of its id, with its last name.
        let removed = at.run(&["rmi", &short[..7]]).ok();
        let lines: Vec<&str> = removed.lines().collect();
        assert_eq!(lines[0], format!("Untagged: {IMAGE}"), "{}", at.name);
        assert!(lines[1].starts_with("Untagged: 127.0.0.1:5000/busybox@sha256:"), "{}: {removed}", at.name);
        assert_eq!(lines[2], format!("Deleted: {id}"), "{}", at.name);
        assert_eq!(
            lines.iter().filter(|line| line.starts_with("Deleted: ")).count(),
            4,
            "{}: {removed}",
            at.name
        );
        at.run(&["pull", "-q", IMAGE]).ok();
    });
}

#[test]
fn an_image_in_use_is_kept_from_removal_in_dockers_words() {
    on_each(|at| {
        let short = &at.run(&["images", "-q", IMAGE]).ok();
        let container = at.run(&["run", "-d", "--name", "box", IMAGE, "sleep", "1000"]).ok();
        let container = &container[..12];
        let refused = |args: &[&str], words: String| {
            at.refused(args, 1, &words);
        };
        let by_name = "conflict: unable to remove repository reference";
        refused(
            &["rmi", IMAGE],
            format!(
                "{by_name} \"{IMAGE}\" (must force) - container {container} is using its referenced image {short}"
            ),
        );
        let running = format!(
            "conflict: unable to delete {short} (cannot be forced) - image is being used by running container {container}"
        );
        refused(&["rmi", short], running.clone());
        refused(&["rmi", "-f", short], running);
        // A name goes all the same.
        let untagged = at.run(&["rmi", "-f", IMAGE]).ok();
        assert_eq!(untagged.lines().next(), Some(format!("Untagged: {IMAGE}").as_str()), "{}", at.name);
        assert!(!untagged.contains("Deleted"), "{}: {untagged}", at.name);
        assert_eq!(at.run(&["ps", "--format", "{{.Image}}"]).ok(), *short, "{}", at.name);
        let rows = at.run(&["images", "-a", "--format", "{{.Repository}} {{.Tag}} {{.ID}}"]).ok();
        assert_eq!(rows, format!("<none> <none> {short}"), "{}", at.name);
        at.run(&["exec", "box", "true"]).ok();
        at.run(&["stop", "-t", "0", "box"]).ok();
        refused(
            &["rmi", short],
            format!(
                "conflict: unable to delete {short} (must be forced) - image is being used by stopped container {container}"
            ),
        );
        assert!(at.run(&["rmi", "-f", short]).ok().contains("Deleted: sha256:"), "{}", at.name);
        at.remove(&["box"]);
        assert_eq!(at.run(&["images", "-aq"]).ok(), "", "{}", at.name);
        at.run(&["pull", "-q", IMAGE]).ok();
    });
}

#[test]
fn sizes_are_those_of_the_files_and_inspect_names_every_layer() {
    on_each(|at| {
        let size: u64 = at.run(&["inspect", "-f", "{{.Size}}", IMAGE]).ok().parse().expect("a size");
        let files: u64 = std::fs::metadata("/bin/busybox").expect("busybox").len();
        // The other files are a few hundred bytes: names of links, users, a page.
        assert!((files..files + 4096).contains(&size), "{}: {size}, busybox alone is {files}", at.name);
        let shown = at.run(&["images", "--format", "{{.Size}}", IMAGE]).ok();
        assert_eq!(shown, format!("{:.2}MB", size as f64 / 1e6), "{}", at.name);
        let inspect = "{{.Os}}/{{.Architecture}} {{.Created}} {{len .RootFS.Layers}} {{.RootFS.Type}} {{json .Config.Cmd}} {{index .Config.Env 0}}";
        let said = at.run(&["inspect", "-f", inspect, IMAGE]).ok();
        assert_eq!(said, "linux/amd64 2026-01-01T00:00:00Z 3 layers [\"sh\"] PATH=/bin", "{}", at.name);
        let missing = at.run(&["image", "inspect", "nosuch"]);
        assert_eq!((missing.code, missing.stdout.trim()), (1, "[]"), "{}", at.name);
        assert!(
            missing.stderr.to_lowercase().contains("no such image: nosuch"),
            "{}: {}",
            at.name,
            missing.stderr
        );
        let neither = at.run(&["inspect", "nosuch"]);
        assert_eq!((neither.code, neither.stdout.trim()), (1, "[]"), "{}", at.name);
        assert!(
            neither.stderr.to_lowercase().contains("no such object: nosuch"),
            "{}: {}",
            at.name,
            neither.stderr
        );
    });
}
