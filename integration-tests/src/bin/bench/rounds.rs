//! How often each thing is done: `SAMPLES=N` sets all counts, for a quick look.

use anyhow::{Context, Result, ensure};

/// The counts of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounds {
    asked: Option<usize>,
}

impl Rounds {
    /// From the environment.
    ///
    /// # Errors
    /// `SAMPLES` is no number from 1 on.
    pub(crate) fn from_environment() -> Result<Self> {
        let Some(text) = std::env::var("SAMPLES").ok().filter(|text| !text.is_empty()) else {
            return Ok(Self { asked: None });
        };
        let asked: usize = text.parse().with_context(|| format!("SAMPLES={text} is no number"))?;
        ensure!(asked > 0, "SAMPLES must be at least 1");
        Ok(Self { asked: Some(asked) })
    }

    /// Warm-up rounds and rounds of something quick.
    pub(crate) fn fast(self, usual: usize) -> (usize, usize) {
        (2, self.asked.unwrap_or(usual))
    }

    /// The same of something that takes many seconds: never more than usual.
    pub(crate) fn slow(self, usual: usize) -> (usize, usize) {
        (0, self.asked.unwrap_or(usual).min(usual))
    }

    /// The counts of things kept at once; only the smallest for a quick look.
    pub(crate) fn counts(self, usual: &[usize]) -> Vec<usize> {
        let count = if self.asked.is_some() { 1 } else { usual.len() };
        usual.iter().copied().take(count).collect()
    }
}
