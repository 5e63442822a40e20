//! What a client was told, command by command, without what is different in every run.

use integration_tests::{Client, Output};

/// Commands and what was said to each.
#[derive(Debug)]
pub(crate) struct Transcript {
    client: Client,
    entries: Vec<(String, String)>,
    hidden: Vec<(String, String)>,
}

impl Transcript {
    /// An empty one.
    pub(crate) fn of(client: &Client) -> Self {
        Self { client: client.clone(), entries: Vec::new(), hidden: Vec::new() }
    }

    /// From now on `text` is written as `name`.
    pub(crate) fn hide(&mut self, text: &str, name: &str) {
        self.hidden.push((text.to_owned(), name.to_owned()));
    }

    /// Runs a command and notes what it said.
    pub(crate) fn run(&mut self, args: &[&str]) {
        let output = self.client.run(args);
        self.note(args, &output, false);
    }

    /// The same without its output, which is another at every run.
    pub(crate) fn run_for_errors(&mut self, args: &[&str]) {
        let output = Output { stdout: String::new(), ..self.client.run(args) };
        self.note(args, &output, false);
    }

    /// The same for a listing without an order.
    pub(crate) fn run_sorted(&mut self, args: &[&str]) {
        let output = self.client.run(args);
        self.note(args, &output, true);
    }

    fn note(&mut self, args: &[&str], output: &Output, sorted: bool) {
        let mut lines: Vec<String> = output.stdout.lines().map(normal).collect();
        if sorted {
            lines.sort();
        }
        let errors = output.stderr.lines().map(normal);
        let mut text = format!("ends with {}\n", output.code);
        for line in lines.into_iter().chain(errors).filter(|line| !line.is_empty()) {
            text.push_str(&line);
            text.push('\n');
        }
        for (hidden, name) in &self.hidden {
            text = text.replace(hidden, name);
        }
        self.entries.push((args.join(" "), text));
    }

    /// Fails the test at the first command that was answered otherwise.
    #[track_caller]
    pub(crate) fn assert_same(&self, reference: &Self) {
        assert_eq!(self.entries.len(), reference.entries.len());
        for ((command, said), (_, expected)) in self.entries.iter().zip(&reference.entries) {
            assert_eq!(said, expected, "{command}");
        }
    }
}

/// A line without times, process ids, folders of the test, column widths and the order of labels.
pub(crate) fn normal(line: &str) -> String {
    // containerd 1.6 names the kind of some errors twice.
    let line = line.replace(": invalid argument: invalid argument", ": invalid argument");
    // ctr resizes a terminal whose process may have gone, and lists what it fetches while it ends.
    let its_own =
        ["resize pty", "active check failed", r#"failed to get content info" error="context canceled"#];
    if its_own.iter().any(|noise| line.contains(noise)) {
        return String::new();
    }
    let words = line.split_whitespace().map(|word| {
        let word = word.trim_start_matches('\u{0}').trim_start_matches("^@");
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_time = word.contains("T") && word.matches(':').count() >= 2 && word.contains("20");
        if is_time {
            return "TIME".to_owned();
        }
        if word.len() >= 3 && digits(word) || word.ends_with('s') && word.contains('.') && digits(&word[..1])
        {
            return "NUMBER".to_owned();
        }
        if word.contains(',') && word.contains('=') {
            let mut labels: Vec<&str> = word.split(',').collect();
            labels.sort_unstable();
            return labels.join(",");
        }
        for folder in ["/var/tmp/stack-", "/var/tmp/debian-"] {
            if let Some(at) = word.find(folder) {
                let rest = word[at + folder.len()..].split_once('/').map_or("", |(_, rest)| rest);
                return format!("{}DIR/{rest}", &word[..at]);
            }
        }
        word.to_owned()
    });
    words.collect::<Vec<_>>().join(" ")
}
