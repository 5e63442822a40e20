use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(text: &str) -> Reference {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn short_names_are_completed_and_shortened_again() {
    let cases = [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1", "docker.io/library/busybox:1", "busybox:1"),
        ("library/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("docker.io/a/b", "docker.io/a/b", "a/b"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
        ("127.0.0.1:5000/lib/bb:1", "127.0.0.1:5000/lib/bb:1", "127.0.0.1:5000/lib/bb:1"),
        ("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"),
        ("Upper/x", "Upper/x", "Upper/x"),
        ("a__b/c---d.e", "docker.io/a__b/c---d.e", "a__b/c---d.e"),
    ];
    for (text, whole, familiar) in cases {
        let reference = parse(text);
        assert_eq!(
            (reference.to_string().as_str(), reference.familiar().as_str()),
            (whole, familiar),
            "{text}"
        );
    }
}

#[test]
fn digest_wins_over_tag_and_latest_is_the_default_object() {
    let both = parse(&format!("x:1@sha256:{HEX}"));
    assert_eq!((both.tag(), both.object()), (Some("1"), format!("sha256:{HEX}").as_str()));
    assert_eq!(parse("x").object(), "latest");
    assert_eq!(parse("x").with_default_tag().to_string(), "docker.io/library/x:latest");
    assert_eq!(both.clone().with_default_tag(), both);
}

#[test]
fn bad_references_fail_with_dockers_texts() {
    let cases = [
        ("", "invalid reference format"),
        (":", "invalid reference format"),
        ("a:", "invalid reference format"),
        ("-a", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("a:b:c", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("https://x/y", "invalid reference format"),
        ("x@sha256:abc", "invalid reference format"),
        ("x y", "invalid reference format"),
        ("BUSYBOX", "invalid reference format: repository name (library/BUSYBOX) must be lowercase"),
        ("x.io/A", "invalid reference format: repository name (A) must be lowercase"),
        (&format!("x@md5:{}", &HEX[..32]), "unsupported digest algorithm"),
        (&format!("x@sha256:{}", &HEX[..40]), "invalid checksum digest length"),
        (HEX, &format!("invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings")),
        (&"a".repeat(256), "repository name must not be more than 255 characters"),
    ];
    for (text, message) in cases {
        let error = text.parse::<Reference>().expect_err(text);
        assert_eq!(error.to_string(), message, "{text}");
    }
}

#[test]
fn tag_and_digest_replace_each_other() {
    let reference = parse("x:1");
    let digest = Digest::of(b"");
    assert_eq!(reference.with_digest(digest.clone()).to_string(), format!("docker.io/library/x@{digest}"));
    assert_eq!(reference.with_tag("2").expect("a tag").familiar(), "x:2");
    assert_eq!(reference.with_tag("/"), Err(ReferenceError::Format));
}
