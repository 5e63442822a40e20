use super::*;

fn config() -> Descriptor {
    Descriptor::of(media_type::CONFIG, b"{}")
}

fn manifest_json(extra: &str) -> String {
    let digest = config().digest;
    format!(
        r#"{{"schemaVersion":2{extra},"config":{{"mediaType":"{}","digest":"{digest}","size":2}},"layers":null}}"#,
        media_type::CONFIG
    )
}

#[test]
fn a_manifest_reads_back_and_labels_its_children() {
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::MANIFEST.to_owned(),
        artifact_type: String::new(),
        config: config(),
        layers: vec![Descriptor::of(media_type::LAYER_GZIP, b"l0"), Descriptor::of(media_type::LAYER, b"l1")],
        subject: None,
        annotations: BTreeMap::new(),
    };
    let bytes = serde_json::to_vec(&manifest).expect("serialise");
    let document = Document::parse(media_type::MANIFEST, &bytes).expect("parse");
    assert_eq!(document, Document::Manifest(Box::new(manifest)));
    let keys: Vec<String> = document.gc_labels().into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        [
            "containerd.io/gc.ref.content.config",
            "containerd.io/gc.ref.content.l.0",
            "containerd.io/gc.ref.content.l.1"
        ]
    );
}

#[test]
fn null_lists_are_empty_ones() {
    let document = Document::parse(media_type::DOCKER_MANIFEST, manifest_json("").as_bytes()).expect("parse");
    assert_eq!(document.children().len(), 1);
}

/// CVE-2021-41190: one document, read as a manifest by one and as an index by another.
#[test]
fn cve_2021_41190_documents_of_two_kinds_are_refused() {
    let cases = [
        (media_type::MANIFEST, manifest_json(r#","manifests":[]"#)),
        (media_type::INDEX, manifest_json(r#","manifests":[]"#)),
        (media_type::MANIFEST, manifest_json(r#","mediaType":"application/vnd.oci.image.index.v1+json""#)),
        (media_type::MANIFEST, manifest_json(r#","fsLayers":[]"#)),
        (media_type::INDEX, r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#.to_owned()),
        (media_type::INDEX, r#"{"schemaVersion":1,"manifests":[]}"#.to_owned()),
    ];
    for (media_type, json) in cases {
        let error = Document::parse(media_type, json.as_bytes()).expect_err(&json);
        assert!(matches!(error, DocumentError::Ambiguous { .. }), "{json}: {error}");
    }
}

#[test]
fn a_field_given_twice_is_refused() {
    let json = manifest_json(r#","schemaVersion":2"#);
    let error = Document::parse(media_type::MANIFEST, json.as_bytes()).expect_err("twice");
    assert!(matches!(error, DocumentError::Malformed { .. }), "{error}");
}

#[test]
fn size_count_and_nesting_are_bounded() {
    let large = vec![b' '; MAX_DOCUMENT + 1];
    assert!(matches!(Document::parse(media_type::MANIFEST, &large), Err(DocumentError::TooLarge(_))));
    let child = serde_json::to_string(&config()).expect("json");
    let many = vec![child; MAX_CHILDREN + 1].join(",");
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{many}]}}"#);
    assert!(matches!(Document::parse(media_type::INDEX, index.as_bytes()), Err(DocumentError::TooMany(_))));
    let deep = format!(r#"{{"schemaVersion":2,"x":{}"#, "[".repeat(100_000));
    assert!(matches!(
        Document::parse(media_type::INDEX, deep.as_bytes()),
        Err(DocumentError::Malformed { .. })
    ));
}

#[test]
fn broken_documents_are_errors_never_panics() {
    let good = manifest_json("");
    for end in 0..good.len() {
        assert!(Document::parse(media_type::MANIFEST, &good.as_bytes()[..end]).is_err(), "cut at {end}");
    }
    for size in ["-1", "18446744073709551616", "\"2\"", "2.5"] {
        let bad = good.replace(r#""size":2"#, &format!(r#""size":{size}"#));
        assert!(Document::parse(media_type::MANIFEST, bad.as_bytes()).is_err(), "{size}");
    }
    assert!(matches!(Document::parse("text/plain", b"{}"), Err(DocumentError::Unknown(_))));
}

#[test]
fn the_best_platform_of_an_index_comes_first() {
    let child = |platform: &str| Descriptor {
        platform: Some(platform.parse().expect("platform")),
        ..Descriptor::of(media_type::MANIFEST, platform.as_bytes())
    };
    let index = Index {
        schema_version: 2,
        media_type: String::new(),
        manifests: vec![child("linux/386"), child("linux/arm64"), child("linux/amd64"), config()],
        annotations: BTreeMap::new(),
    };
    let wanted = "linux/amd64".parse().expect("platform");
    let found: Vec<String> = index
        .matching(&wanted)
        .iter()
        .filter_map(|child| Some(child.platform.as_ref()?.to_string()))
        .collect();
    assert_eq!(found, ["linux/amd64", "linux/386"]);
}

#[test]
fn a_configuration_keeps_what_a_container_needs() {
    let json = format!(
        r#"{{"architecture":"amd64","os":"linux","variant":"v1","created":"2026-01-01T00:00:00Z",
        "config":{{"Env":["A=b"],"Cmd":["sh"],"Entrypoint":null,"ExposedPorts":{{"80/tcp":{{}}}},"User":"1"}},
        "rootfs":{{"type":"layers","diff_ids":["{}"]}},"history":[{{"created_by":"x","empty_layer":true}}]}}"#,
        Digest::of(b"")
    );
    let config = ImageConfig::parse(json.as_bytes()).expect("parse");
    assert_eq!(config.platform.architecture, "amd64");
    assert_eq!(config.config.cmd.as_deref(), Some(&["sh".to_owned()][..]));
    assert_eq!((config.rootfs.diff_ids.len(), config.history[0].empty_layer), (1, true));
    let again: ImageConfig =
        serde_json::from_str(&serde_json::to_string(&config).expect("json")).expect("again");
    assert_eq!(again, config);
}
