//! Images and registries that lie, break off or attack: each pull says why it failed, by the
//! engine, by Transfer and by `ctr`, and nothing of it stays.

use std::fmt::Write as _;

use integration_tests::{
    Answer, CraftedImage, FakeRegistry, INDEX, MANIFEST, Stack, TarEntry, digest, gzip, tar,
};
use serde_json::json;

/// A fault: its name, which is its repository's too, and the words that each client shows.
struct Fault {
    repo: &'static str,
    /// What `docker pull` and `engine pull` say.
    engine: &'static str,
    /// What `ctr images pull` says.
    ctr: &'static str,
}

fn file(data: &[u8]) -> Vec<u8> {
    tar(&[TarEntry::directory("etc"), TarEntry::file("etc/file", data)])
}

/// Bytes that gzip can't make small.
fn noise(seed: &str) -> Vec<u8> {
    let mut state = seed.bytes().fold(0x9e37_79b9_u32, |sum, byte| sum.rotate_left(5) ^ u32::from(byte));
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    })
    .take(300_000)
    .collect()
}

/// Serves an image of two layers of which `lie` is told the second's bytes as they are packed. Each
/// has layers of its own: nothing of another fault's download is gone on with.
fn lying(registry: &FakeRegistry, repo: &str, lie: impl FnOnce(&mut CraftedImage, Vec<u8>)) {
    let mut image = two_layers(repo);
    let packed = image.blobs[&image.layer(1)].clone();
    lie(&mut image, packed);
    registry.serve(repo, &image);
}

fn two_layers(seed: &str) -> CraftedImage {
    CraftedImage::new(&[file(seed.as_bytes()), file(&noise(seed))])
}

fn layers_that_lie(registry: &FakeRegistry) {
    cut(registry);
    lying(registry, "otherbytes", |image, mut bytes| {
        bytes[50_000..50_064].fill(0);
        image.replace_layer(1, bytes);
    });
    lying(registry, "short", |image, bytes| image.replace_layer(1, bytes[..100_000].to_vec()));
    lying(registry, "smallersize", |image, bytes| {
        image.manifest["layers"][1]["size"] = (bytes.len() - 5).into();
    });
    lying(registry, "largersize", |image, bytes| {
        image.manifest["layers"][1]["size"] = (bytes.len() + 5).into();
    });
    lying(registry, "brokengzip", |image, mut bytes| {
        bytes[50_000..50_064].fill(0);
        image.exchange_layer(1, bytes);
    });
    lying(registry, "halfgzip", |image, bytes| image.exchange_layer(1, bytes[..100_000].to_vec()));
    lying(registry, "notar", |image, _| image.exchange_layer(1, gzip(&noise("notar")[..4096])));
    let layers = [file(b"diffid"), file(&noise("diffid"))];
    let ids = [digest(&layers[0]), digest(b"something else")];
    registry.serve("diffid", &CraftedImage::with_diff_ids(&layers, &ids));
}

fn cut(registry: &FakeRegistry) {
    let image = two_layers("cut");
    registry.serve("cut", &image);
    let whole = Answer::ok("application/octet-stream", image.blobs[&image.layer(1)].clone());
    registry.blob("cut", &image.layer(1), Answer { cut: Some(100_000), ..whole });
}

fn documents_that_lie(registry: &FakeRegistry) {
    registry.serve_root("html", "text/html", b"<html>log in</html>");
    registry.serve_root("garbage", MANIFEST, b"{\"schemaVersion\": 2, ");
    registry.answer("/v2/broken/manifests/1", Answer::status(500));
    let around = format!("{}/v2/loop/manifests/1", registry.url());
    registry.answer("/v2/loop/manifests/1", Answer::status(307).header("Location", &around));
    registry.answer("/v2/teapot/manifests/1", Answer::status(418));

    let image = CraftedImage::small();
    registry.serve("swapped", &image);
    let wrong = Answer::ok(MANIFEST, image.manifest.to_string());
    let asked = format!("/v2/swapped/manifests/{}", digest(b"asked for"));
    registry.answer(&asked, wrong.header("Docker-Content-Digest", &digest(b"asked for")));

    let mut huge = image.clone();
    huge.manifest["annotations"] = json!({"x": "y".repeat(20 << 20)});
    registry.serve("huge", &huge);

    let mut many = image.clone();
    let layer = many.manifest["layers"][0].clone();
    many.manifest["layers"] = std::iter::repeat_n(layer, 20_000).collect::<Vec<_>>().into();
    registry.serve("manylayers", &many);

    let mut count = image.clone();
    let layer = count.manifest["layers"][0].clone();
    count.manifest["layers"] = vec![layer.clone(), layer].into();
    registry.serve("layercount", &count);

    let mut odd = image.clone();
    odd.manifest["layers"][0]["mediaType"] = "application/x-odd".into();
    registry.serve("oddlayer", &odd);

    let mut config = image.clone();
    config.manifest["config"]["digest"] = digest(b"{}").into();
    registry.serve("noconfig", &config);

    let old = json!({"schemaVersion": 1, "name": "x", "tag": "1"}).to_string();
    let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    registry.serve_root("schema1", kind, old.as_bytes());

    let text = image.manifest.to_string();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": MANIFEST,
        "digest": digest(text.as_bytes()), "size": text.len(),
        "platform": {"architecture": "s390x", "os": "linux"}}]});
    registry.serve("otherplatform", &image);
    registry.serve_root("otherplatform", INDEX, index.to_string().as_bytes());

    let mut climbing = image;
    climbing.manifest["layers"][0]["digest"] = "sha256:../../../../etc/passwd".into();
    registry.serve("climbingdigest", &climbing);
}

/// A fault, the engine's words and those of `ctr`.
const fn fault(repo: &'static str, engine: &'static str, ctr: &'static str) -> Fault {
    Fault { repo, engine, ctr }
}

const LAYERS: &[Fault] = &[
    fault("cut", "unexpected EOF", "unexpected EOF"),
    fault("otherbytes", "unexpected commit digest", "unexpected commit digest"),
    fault("short", "unexpected EOF", "unexpected EOF"),
    fault("smallersize", "more than", "size"),
    fault("largersize", "unexpected EOF", "unexpected EOF"),
    fault("brokengzip", "corrupt deflate stream", "corrupt deflate stream"),
    fault("halfgzip", "unexpected EOF", "unexpected EOF"),
    fault("notar", "invalid tar header", "invalid tar header"),
    fault("diffid", "wrong diff id", "wrong diff id"),
];

const DOCUMENTS: &[Fault] = &[
    fault("html", "text/html", "text/html"),
    fault("garbage", "EOF while parsing", "unexpected end of JSON input"),
    fault("broken", "500 Internal Server Error", "500"),
    fault("loop", "too many redirects", "stopped after 10 redirects"),
    fault("teapot", "418", "418"),
    fault("huge", "has 20971944 bytes", NOT_ASKED),
    fault("manylayers", "more than the limit of 4096", NOT_ASKED),
    fault("layercount", "layers", "mismatched image rootfs and manifest layers"),
    fault("oddlayer", "application/x-odd", "application/x-odd"),
    fault("noconfig", "not found", "not found"),
    fault("schema1", "manifest.v1", NOT_ASKED),
    fault("otherplatform", "no matching manifest for linux/amd64", "no match for platform"),
    fault("climbingdigest", "digest", "not found"),
];

/// Debian's ctr does these by itself, and has no bound.
const NOT_ASKED: &str = "";

/// Pulls each by each client; says all that isn't as it should be.
fn pull_all(stack: &Stack, registry: &FakeRegistry, faults: &[Fault]) {
    let mut wrong = String::new();
    for fault in faults {
        let name = registry.name(&format!("{}:1", fault.repo));
        let mut outputs = vec![
            ("docker", stack.docker(&["pull", &name]), fault.engine, 1),
            ("engine", stack.engine(&["pull", &name]), fault.engine, 1),
            ("run", stack.docker(&["run", "--rm", &name, "true"]), fault.engine, 125),
        ];
        if fault.ctr != NOT_ASKED {
            outputs.push(("ctr", stack.ctr(&["images", "pull", "--plain-http", &name]), fault.ctr, 1));
        }
        for (client, output, words, code) in outputs {
            if output.code != code || !output.stderr.contains(words) {
                writeln!(wrong, "{} {client}: {} {}", fault.repo, output.code, output.stderr)
                    .expect("memory");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let kept = stack.ingests("engine");
    let bad = format!("layer-{}", two_layers("otherbytes").layer(1));
    assert!(!kept.contains(&bad), "bytes that can't come right are kept: {kept:?}");
    assert_eq!(stack.docker(&["images", "-q"]).ok(), "");
    forget_what_ctr_left(stack);
}

/// When a pull fails, Debian's ctr leaves its lease for a day, and the image if only its
/// layers were bad: the client's doing, as it is on Debian's own daemon.
pub(crate) fn forget_what_ctr_left(stack: &Stack) {
    for image in stack.ctr(&["images", "ls", "-q"]).ok().lines() {
        stack.ctr(&["images", "rm", image]).ok();
    }
    for lease in stack.ctr(&["leases", "ls", "-q"]).ok().lines() {
        stack.ctr(&["leases", "rm", "--sync", lease]).ok();
    }
}

#[test]
fn a_layer_that_is_damaged_or_lies_fails_its_pull() {
    let stack = Stack::start();
    let registry = FakeRegistry::start(&stack.netns);
    layers_that_lie(&registry);
    pull_all(&stack, &registry, LAYERS);
    stack.assert_clean(&[]);
    stack.assert_no_image();
}

#[test]
fn a_manifest_or_a_registry_that_lies_fails_its_pull() {
    let stack = Stack::start();
    let registry = FakeRegistry::start(&stack.netns);
    documents_that_lie(&registry);
    pull_all(&stack, &registry, DOCUMENTS);
    let by_digest = registry.name(&format!("swapped@{}", digest(b"asked for")));
    for output in [
        stack.docker(&["pull", &by_digest]),
        stack.engine(&["pull", &by_digest]),
        stack.ctr(&["images", "pull", "--plain-http", &by_digest]),
    ] {
        assert_eq!(output.code, 1);
        assert!(output.stderr.contains("digest"), "{}", output.stderr);
    }
    forget_what_ctr_left(&stack);
    stack.assert_clean(&[]);
    stack.assert_no_image();
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was_or_begins_again() {
    let stack = Stack::start();
    let registry = FakeRegistry::start(&stack.netns);
    cut(&registry);
    let name = registry.name("cut:1");
    assert_eq!(stack.docker(&["pull", &name]).code, 1);
    registry.serve("cut", &two_layers("cut"));
    stack.docker(&["pull", &name]).ok();
    stack.docker(&["rmi", &name]).ok();
    stack.assert_clean(&[]);
    stack.assert_no_image();
}
