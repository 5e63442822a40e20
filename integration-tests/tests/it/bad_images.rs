//! Downloads that break off.

use integration_tests::{Answer, CraftedImage, FakeRegistry, Stack, TarEntry, tar};

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

fn two_layers(seed: &str) -> CraftedImage {
    CraftedImage::new(&[file(seed.as_bytes()), file(&noise(seed))])
}

fn cut(registry: &FakeRegistry) {
    let image = two_layers("cut");
    registry.serve("cut", &image);
    let whole = Answer::ok("application/octet-stream", image.blobs[&image.layer(1)].clone());
    registry.blob("cut", &image.layer(1), Answer { cut: Some(100_000), ..whole });
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
