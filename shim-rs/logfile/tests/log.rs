//! What a reader gets of what a writer wrote, whatever rotates, tears or vanishes in between.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use logfile::{Entry, Format, LogReader, LogUri, LogWriter, Mark, ReadOptions, Stream, Timestamp};

struct Log {
    _dir: tempfile::TempDir,
    path: PathBuf,
    uri: LogUri,
}

fn log(format: Format, query: &str) -> Log {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("c-json.log");
    let uri = format!("{format}://{}?{query}", path.display()).parse().expect("a good URI");
    Log { _dir: dir, path, uri }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_parts(1_795_531_158 + seconds, 7)
}

/// Writes `line N` for each N, at second N.
fn write_lines(writer: &mut LogWriter, numbers: std::ops::Range<i64>) {
    for number in numbers {
        writer
            .write(Stream::Stdout, format!("line {number}\n").as_bytes(), at(number))
            .expect("the log is writable");
        // The shim does this whenever it has nothing else to do.
        while number % 3 == 0 && writer.work().expect("compression works") {}
    }
}

fn read(path: &Path, format: Format, options: ReadOptions) -> Vec<String> {
    let reader = LogReader::open(path, format, options).expect("the log opens");
    reader.map(|e| text(&e.expect("the log reads"))).collect()
}

fn text(entry: &Entry) -> String {
    String::from_utf8_lossy(&entry.log).trim_end().to_owned()
}

fn lines(numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|n| format!("line {n}")).collect()
}

#[test]
fn every_format_reads_back_what_was_written_to_two_streams() {
    for format in [Format::JsonFile, Format::Local, Format::Cri] {
        let log = log(format, "");
        let mut writer = LogWriter::open(&log.uri).expect("the log opens");
        writer.write(Stream::Stdout, b"out", at(1)).expect("writable");
        writer.write(Stream::Stderr, b"err\n", at(2)).expect("writable");
        writer.write(Stream::Stdout, b"put\n", at(3)).expect("writable");
        let entries: Vec<Entry> = LogReader::open(&log.path, format, ReadOptions::default())
            .expect("opens")
            .collect::<logfile::Result<_>>()
            .expect("reads");
        let seen: Vec<_> = entries.iter().map(|e| (e.log.as_slice(), e.stream, e.time)).collect();
        assert_eq!(
            seen,
            [(&b"err\n"[..], Stream::Stderr, at(2)), (&b"output\n"[..], Stream::Stdout, at(3))],
            "{format}"
        );
    }
}

#[test]
fn a_last_line_without_newline_is_stored_at_close_as_it_is() {
    let log = log(Format::JsonFile, "attr.k=v");
    let mut writer = LogWriter::open(&log.uri).expect("opens");
    writer.write(Stream::Stdout, b"end", at(1)).expect("writable");
    assert_eq!(fs::read_to_string(&log.path).expect("readable"), "");
    writer.close_stream(Stream::Stdout, at(2)).expect("writable");
    let line = fs::read_to_string(&log.path).expect("readable");
    assert!(line.starts_with(r#"{"log":"end","stream":"stdout","attrs":{"k":"v"},"time":"#), "{line}");
}

#[test]
fn pieces_of_a_long_line_carry_the_first_ones_time() {
    for format in [Format::JsonFile, Format::Local, Format::Cri] {
        let log = log(format, "");
        let mut writer = LogWriter::open(&log.uri).expect("opens");
        writer.write(Stream::Stdout, &[b'x'; logfile::MAX_LINE + 1], at(1)).expect("writable");
        writer.write(Stream::Stdout, b"y\n", at(2)).expect("writable");
        let entries: Vec<Entry> = LogReader::open(&log.path, format, ReadOptions::default())
            .expect("opens")
            .collect::<logfile::Result<_>>()
            .expect("reads");
        let sizes: Vec<_> = entries.iter().map(|e| (e.log.len(), e.time)).collect();
        assert_eq!(sizes, [(logfile::MAX_LINE, at(1)), (3, at(1))], "{format}");
        assert!(entries[1].log.ends_with(b"xy\n"));
    }
}

#[test]
fn rotation_keeps_as_many_files_as_asked_and_reading_goes_through_all() {
    for (format, query) in [
        (Format::JsonFile, "max-size=300&max-file=4"),
        (Format::JsonFile, "max-size=300&max-file=4&compress=true"),
        (Format::Local, "max-size=200&max-file=4&compress=true"),
        (Format::Cri, "max-size=200&max-file=4"),
    ] {
        let log = log(format, query);
        let mut writer = LogWriter::open(&log.uri).expect("opens");
        write_lines(&mut writer, 0..100);
        while writer.work().expect("compression works") {}
        let mut names: Vec<String> = fs::read_dir(log.path.parent().expect("a parent"))
            .expect("listable")
            .map(|e| e.expect("listable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let gz = if query.contains("compress") { ".gz" } else { "" };
        let wanted: Vec<String> = ["", ".1", ".2", ".3"]
            .iter()
            .map(|n| if n.is_empty() { "c-json.log".into() } else { format!("c-json.log{n}{gz}") })
            .collect();
        assert_eq!(names, wanted, "{format} {query}");
        let seen = read(&log.path, format, ReadOptions::default());
        assert!(seen.len() > 5 && seen.len() < 100, "{}", seen.len());
        assert_eq!(seen, lines(100 - seen.len() as i64..100), "{format} {query}");
    }
}

#[test]
fn a_file_exceeds_the_limit_by_one_line_at_most() {
    let log = log(Format::JsonFile, "max-size=2k&max-file=3");
    let mut writer = LogWriter::open(&log.uri).expect("opens");
    let burst: String = (0..200).map(|n| format!("line {n}\n")).collect();
    writer.write(Stream::Stdout, burst.as_bytes(), at(0)).expect("writable");
    let size = fs::metadata(log.path.with_file_name("c-json.log.1")).expect("rotated").len();
    assert!((2048..2048 + 100).contains(&size), "{size}");
}

#[test]
fn one_file_only_starts_anew_when_full() {
    let log = log(Format::JsonFile, "max-size=300&max-file=1&compress=true");
    let mut writer = LogWriter::open(&log.uri).expect("opens");
    write_lines(&mut writer, 0..50);
    let seen = read(&log.path, Format::JsonFile, ReadOptions::default());
    assert_eq!(seen, lines(50 - seen.len() as i64..50));
    assert_eq!(fs::read_dir(log.path.parent().expect("a parent")).expect("listable").count(), 1);
}

#[test]
fn tail_since_and_until_choose_across_rotated_files() {
    for query in ["max-size=300&max-file=9", "max-size=300&max-file=9&compress=true"] {
        let log = log(Format::JsonFile, query);
        let mut writer = LogWriter::open(&log.uri).expect("opens");
        write_lines(&mut writer, 0..20);
        let get = |options| read(&log.path, Format::JsonFile, options);
        let all = ReadOptions::default();
        for count in [0, 1, 3, 4, 5, 13, 20, 99] {
            let wanted = lines((20 - count).max(0)..20);
            assert_eq!(get(ReadOptions { tail: Some(count as u64), ..all }), wanted, "tail {count}");
        }
        assert_eq!(get(ReadOptions { since: Some(at(17)), ..all }), lines(17..20));
        assert_eq!(get(ReadOptions { until: Some(at(2)), ..all }), lines(0..3));
        assert_eq!(get(ReadOptions { tail: Some(5), until: Some(at(16)), ..all }), lines(15..17));
    }
}

#[test]
fn damage_costs_only_the_damaged_line() {
    let log = log(Format::JsonFile, "");
    let mut writer = LogWriter::open(&log.uri).expect("opens");
    write_lines(&mut writer, 0..2);
    drop(writer);
    let mut bytes = fs::read(&log.path).expect("readable");
    bytes.extend_from_slice(b"{\"log\":\"torn by a power cut");
    fs::write(&log.path, bytes).expect("writable");
    let mut writer = LogWriter::open(&log.uri).expect("opens again");
    write_lines(&mut writer, 2..4);
    assert_eq!(read(&log.path, Format::JsonFile, ReadOptions::default()), lines(0..4));
}

#[test]
fn a_missing_log_reads_as_empty() {
    assert!(read(Path::new("/nonexistent/x"), Format::JsonFile, ReadOptions::default()).is_empty());
}

/// Follows in a thread, sending each line; the channel closes when the iterator ends.
fn follow(log: &Log, options: ReadOptions) -> (mpsc::Receiver<String>, logfile::Control) {
    let reader = LogReader::open(&log.path, log.uri.format, options).expect("opens");
    let follow = reader.follow().expect("can be followed");
    let control = follow.control();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for entry in follow {
            sender.send(text(&entry.expect("the log reads"))).expect("the test listens");
        }
    });
    (receiver, control)
}

#[test]
fn following_through_rotation_and_compression_neither_loses_nor_doubles_a_line() {
    for query in ["max-size=4k&max-file=200", "max-size=4k&max-file=200&compress=true"] {
        let log = log(Format::JsonFile, query);
        let mut writer = LogWriter::open(&log.uri).expect("opens");
        write_lines(&mut writer, 0..100);
        let (receiver, control) = follow(&log, ReadOptions::default());
        write_lines(&mut writer, 100..5000);
        control.finish();
        assert_eq!(receiver.iter().collect::<Vec<_>>(), lines(0..5000), "{query}");
    }
}

#[test]
fn a_follower_that_waits_gets_new_lines_and_ends_after_the_last_when_told() {
    let log = log(Format::JsonFile, "");
    let (receiver, control) = follow(&log, ReadOptions { tail: Some(0), ..ReadOptions::default() });
    let mut writer = LogWriter::open(&log.uri).expect("opens");
    for number in 0..20 {
        write_lines(&mut writer, number..number + 1);
        assert_eq!(receiver.recv().as_deref(), Ok(format!("line {number}").as_str()));
    }
    write_lines(&mut writer, 20..30);
    control.finish();
    assert_eq!(receiver.iter().collect::<Vec<_>>(), lines(20..30));
}

#[test]
fn following_ends_when_the_log_is_removed_or_when_cancelled() {
    let log = log(Format::JsonFile, "");
    let mut writer = LogWriter::open(&log.uri).expect("opens");
    write_lines(&mut writer, 0..1);
    let (removed, _) = follow(&log, ReadOptions::default());
    let (cancelled, control) = follow(&log, ReadOptions::default());
    assert_eq!(cancelled.recv().as_deref(), Ok("line 0"));
    control.cancel();
    assert!(cancelled.recv().is_err(), "ends although the log goes on");
    assert_eq!(removed.recv().as_deref(), Ok("line 0"));
    fs::remove_file(&log.path).expect("removable");
    assert!(removed.recv().is_err(), "ends with the file");
}

#[test]
fn a_mark_joins_log_and_raw_bytes_without_a_gap() {
    let log = log(Format::JsonFile, "");
    let mut writer = LogWriter::open(&log.uri).expect("opens");
    writer.write(Stream::Stdout, b"one\ntwo\nthr", at(1)).expect("writable");
    let mark = writer.mark(Stream::Stdout).expect("the file is there");
    writer.write(Stream::Stdout, b"ee\n", at(2)).expect("writable");
    let head = mark.encode();
    let (read_mark, length, pending) = Mark::decode_head(&head).expect("own mark");
    assert_eq!(&head[length..length + pending], b"thr");
    let mut reader = LogReader::open(&log.path, Format::JsonFile, ReadOptions::default()).expect("opens");
    let mut before = Vec::new();
    while reader
        .position()
        .is_some_and(|(inode, offset)| inode == read_mark.inode && offset < read_mark.offset)
    {
        before.push(text(&reader.next().expect("there is more").expect("reads")));
    }
    assert_eq!(before, ["one", "two"]);
}

#[test]
fn rotated_archives_are_real_gzip() {
    let log = log(Format::JsonFile, "max-size=300&max-file=2&compress=true");
    let mut writer = LogWriter::open(&log.uri).expect("opens");
    write_lines(&mut writer, 0..20);
    while writer.work().expect("compression works") {}
    let archive = fs::File::open(log.path.with_file_name("c-json.log.1.gz")).expect("an archive");
    let mut plain = String::new();
    flate2::read::GzDecoder::new(archive).read_to_string(&mut plain).expect("whole");
    assert!(plain.starts_with("{\"log\":\"line ") && plain.ends_with("\"}\n"), "{plain}");
}
