use super::*;
use crate::writer::Writer;

fn read_all(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>> {
    let mut reader = Reader::new(bytes, Limits::default());
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut data = Vec::new();
        reader.read_to_end(&mut data).map_err(ArchiveError::Read)?;
        found.push((entry, data));
    }
    Ok(found)
}

#[test]
fn what_the_writer_writes_reads_back() {
    let long = "d/".repeat(150) + "name";
    let entries = [
        Entry { name: b"short".to_vec(), mode: 0o644, size: 3, ..Entry::default() },
        Entry { name: long.clone().into(), mode: 0o600, uid: 3_000_000, size: 3, ..Entry::default() },
        Entry { name: "ümlaut".into(), kind: Kind::Symlink, link: long.into(), ..Entry::default() },
        Entry { name: b"dev".to_vec(), kind: Kind::BlockDevice, device: (8, 1), ..Entry::default() },
        Entry {
            name: b"attributes".to_vec(),
            size: 3,
            mtime: Timestamp { seconds: -5, nanoseconds: 0 },
            xattrs: vec![(b"user.x".to_vec(), b"a\nb\0c=".to_vec())],
            ..Entry::default()
        },
    ];
    let mut writer = Writer::new(Vec::new());
    for entry in &entries {
        writer.append(entry, b"abc".as_slice()).expect("append");
    }
    let bytes = writer.finish().expect("finish");
    let found = read_all(&bytes).expect("read");
    assert_eq!(found.iter().map(|(entry, _)| entry.clone()).collect::<Vec<_>>(), entries);
    assert_eq!(found[1].1, b"abc");
    // And another implementation agrees.
    let mut other = tar::Archive::new(bytes.as_slice());
    let names: Vec<Vec<u8>> = other
        .entries()
        .expect("entries")
        .map(|entry| entry.expect("entry").path_bytes().into_owned())
        .collect();
    assert_eq!(names, entries.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>());
}

#[test]
fn gnu_names_and_every_sparse_format_are_read() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let long = format!("{}/{}", "l".repeat(120), "n".repeat(120));
    std::fs::create_dir(dir.path().join("l".repeat(120))).expect("directory");
    let file = std::fs::File::create(dir.path().join(&long)).expect("file");
    file.set_len(1 << 20).expect("size");
    for n in 0..40_u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, b"data", n * 24 * 1024).expect("write");
    }
    let whole = std::fs::read(dir.path().join(&long)).expect("read");
    for format in [
        vec!["--format=gnu"],
        vec!["--format=posix", "--sparse-version=0.0"],
        vec!["--format=posix", "--sparse-version=0.1"],
        vec!["--format=posix", "--sparse-version=1.0"],
    ] {
        let output = std::process::Command::new("tar")
            .args(["--sparse", "-c", "-f", "-"])
            .args(&format)
            .arg("-C")
            .arg(dir.path())
            .arg(&long)
            .output()
            .expect("tar");
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout.len() < whole.len(), "{format:?} kept holes");
        let found = read_all(&output.stdout).expect("read");
        let (entry, data) = &found[0];
        assert_eq!((entry.name.as_slice(), entry.size), (long.as_bytes(), 1 << 20), "{format:?}");
        let mut rebuilt = vec![0; entry.size as usize];
        let mut data = data.as_slice();
        for &(offset, length) in entry.segments.as_ref().expect("sparse") {
            let (now, later) = data.split_at(length as usize);
            rebuilt[offset as usize..(offset + length) as usize].copy_from_slice(now);
            data = later;
        }
        assert!(rebuilt == whole, "{format:?}");
    }
}

#[test]
fn rubbish_is_an_error_never_a_panic() {
    let mut writer = Writer::new(Vec::new());
    writer.append_bytes("a", b"data").expect("append");
    let good = writer.finish().expect("finish");
    for at in 0..148 {
        for value in [0, b'9', 0xff, 0x80] {
            let mut bad = good.clone();
            if bad[at] == value {
                continue;
            }
            bad[at] = value;
            assert!(read_all(&bad).is_err(), "byte {at} = {value}");
        }
    }
    assert!(read_all(&[0x55; 2048]).is_err());
    assert!(read_all(b"\x1f\x8b short").is_err());
}

#[test]
fn extension_headers_are_bounded_in_size_and_number() {
    let header = |kind: u8, size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    for kind in *b"xgLK" {
        assert!(matches!(read_all(&header(kind, 1 << 40)), Err(ArchiveError::Limit { .. })), "{kind}");
        let endless = header(kind, 0).repeat(1000);
        assert!(matches!(read_all(&endless), Err(ArchiveError::Limit { .. })), "{kind}");
    }
    assert!(matches!(read_all(&header(b'V', 0)), Err(ArchiveError::Unsupported { kind: 'V', .. })));
}
