//! A pull's progress: a bar a layer on a terminal, docker's plain lines elsewhere.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};

use anyhow::Context;
use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use crate::error::{ApiError, Failure};

/// Where progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Stdout,
    /// `run` keeps standard output for the container.
    Stderr,
    Nowhere,
}

/// Reads a stream of messages to its end.
///
/// # Errors
/// The stream carries an error, or breaks off.
pub(crate) async fn show(mut body: Incoming, to: To) -> anyhow::Result<()> {
    let mut screen = Screen::new(to);
    let mut pending = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("read from the daemon")?.into_data() else { continue };
        pending.extend_from_slice(&data);
        while let Some(end) = pending.iter().position(|b| *b == b'\n') {
            let line = pending.split_to(end);
            pending.advance(1);
            screen.line(&line)?;
        }
    }
    screen.line(&pending)
}

const PLAIN: &str = "{prefix}: {msg}";
const WITH_BAR: &str = "{prefix}: {msg:11} [{bar:40}] {bytes}/{total_bytes}";

struct Screen {
    to: To,
    bars: Option<MultiProgress>,
    layers: HashMap<String, ProgressBar>,
}

impl Screen {
    fn new(to: To) -> Self {
        let bars = match to {
            To::Stdout if std::io::stdout().is_terminal() => Some(ProgressDrawTarget::stdout()),
            To::Stderr if std::io::stderr().is_terminal() => Some(ProgressDrawTarget::stderr()),
            _ => None,
        };
        Self { to, bars: bars.map(MultiProgress::with_draw_target), layers: HashMap::new() }
    }

    fn line(&mut self, line: &[u8]) -> anyhow::Result<()> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let message: Value = serde_json::from_slice(line).context("understand the daemon's progress")?;
        if let Some(text) = message["errorDetail"]["message"].as_str().or(message["error"].as_str()) {
            let code = message["errorDetail"]["code"].as_u64().and_then(|c| u8::try_from(c).ok());
            return Err(match code.filter(|c| *c > 1) {
                Some(code) => Failure::new(code, text).into(),
                None => ApiError { status: 500, message: text.to_owned() }.into(),
            });
        }
        let status = message["status"].as_str().or(message["stream"].as_str()).unwrap_or_default();
        match message["id"].as_str().filter(|id| !id.is_empty()) {
            Some(id) => self.layer(id, status, &message["progressDetail"]),
            None if status.is_empty() => {}
            None => self.text(status.trim_end()),
        }
        Ok(())
    }

    fn text(&self, text: &str) {
        match (&self.bars, self.to) {
            (Some(bars), _) => {
                // A line among the bars: what is printed beside them would stand above them all.
                let line = bars.add(ProgressBar::new(0));
                line.set_style(template("{msg}"));
                line.abandon_with_message(text.to_owned());
            }
            (None, To::Stdout) => drop(writeln!(std::io::stdout(), "{text}")),
            (None, To::Stderr) => drop(writeln!(std::io::stderr(), "{text}")),
            (None, To::Nowhere) => {}
        }
    }

    fn layer(&mut self, id: &str, status: &str, detail: &Value) {
        let (current, total) = (detail["current"].as_u64(), detail["total"].as_u64());
        let Some(bars) = &self.bars else {
            // Elsewhere than on a terminal only steps are told, not bytes.
            if current.is_none() && total.is_none() {
                self.text(&format!("{id}: {status}"));
            }
            return;
        };
        let bar = self.layers.entry(id.to_owned()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(0));
            bar.set_style(template(PLAIN));
            bar.set_prefix(id.to_owned());
            bar
        });
        bar.set_message(status.to_owned());
        match (current, total) {
            (Some(current), Some(total)) if total > 0 => {
                bar.set_style(template(WITH_BAR).progress_chars("=> "));
                bar.set_length(total);
                bar.set_position(current);
            }
            _ => bar.set_style(template(PLAIN)),
        }
        let over = ["Pull complete", "Already exists", "Pushed", "Layer already exists"].contains(&status);
        if over || !status.ends_with("ing") && !detail.is_object() {
            bar.tick();
        }
        if over {
            bar.abandon();
        }
    }
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// What is drawn stays: a bar would else take its line with it.
impl Drop for Screen {
    fn drop(&mut self) {
        for bar in self.layers.values() {
            bar.abandon();
        }
    }
}
