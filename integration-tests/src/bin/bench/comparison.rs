//! A comparison: one deed, done by several contenders in turn, and what each time cost.

use anyhow::Result;

use crate::interrupt;
use crate::statistics::Samples;

/// What is measured, with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Milliseconds from start to end.
    Wall,
    /// Milliseconds of processor time, user and system.
    Cpu,
    /// Largest resident set of one process, kB.
    Peak,
    /// Memory that nobody shares, kB: what one process more costs.
    Private,
    /// The dirty part of the private memory, kB.
    Dirty,
    /// Memory with shared pages divided among their users, kB.
    Proportional,
}

impl Figure {
    /// Heading of its column.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Wall => "wall ms",
            Self::Cpu => "CPU ms",
            Self::Peak => "peak kB",
            Self::Private => "private kB",
            Self::Dirty => "dirty kB",
            Self::Proportional => "PSS kB",
        }
    }

    /// Its key in the JSON.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Wall => "wall_ms",
            Self::Cpu => "cpu_ms",
            Self::Peak => "peak_kb",
            Self::Private => "private_kb",
            Self::Dirty => "dirty_kb",
            Self::Proportional => "pss_kb",
        }
    }
}

/// One contender's figures.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) figures: Vec<(Figure, Samples)>,
}

impl Series {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), figures: Vec::new() }
    }

    pub(crate) fn push(&mut self, figure: Figure, value: f64) {
        match self.figures.iter_mut().find(|(f, _)| *f == figure) {
            Some((_, samples)) => samples.push(value),
            None => self.figures.push((figure, Samples::from_iter([value]))),
        }
    }

    pub(crate) fn samples(&self, figure: Figure) -> Option<&Samples> {
        self.figures.iter().find(|(f, _)| *f == figure).map(|(_, samples)| samples)
    }
}

/// One deed, compared. The first series is ours: the ratios are its figures divided by the others'.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) title: String,
    /// How many samples each contender gave.
    pub(crate) rounds: usize,
    /// What a reader must know to judge the figures.
    pub(crate) notes: Vec<String>,
    pub(crate) series: Vec<Series>,
}

/// What one sample cost.
pub(crate) type Cost = Vec<(Figure, f64)>;

/// One who takes part: its name, and the deed that costs.
pub(crate) struct Contender<'a> {
    pub(crate) name: String,
    pub(crate) sample: Box<dyn FnMut() -> Result<Cost> + 'a>,
}

impl<'a> Contender<'a> {
    pub(crate) fn new(name: impl Into<String>, sample: impl FnMut() -> Result<Cost> + 'a) -> Self {
        Self { name: name.into(), sample: Box::new(sample) }
    }
}

/// Lets the contenders take turns, A B C A B C …, `rounds` times after `warm_up` rounds that don't count:
/// a machine whose speed drifts slows all of them alike.
///
/// # Errors
/// A sample's own: a contender that fails ends the comparison; or an interrupt.
pub(crate) fn take_turns(
    title: impl Into<String>,
    notes: Vec<String>,
    (warm_up, rounds): (usize, usize),
    mut contenders: Vec<Contender<'_>>,
) -> Result<Comparison> {
    let title = title.into();
    let mut series: Vec<Series> = contenders.iter().map(|c| Series::new(&c.name)).collect();
    for round in 0..warm_up + rounds {
        for (contender, series) in contenders.iter_mut().zip(&mut series) {
            interrupt::check()?;
            let cost = (contender.sample)().map_err(|e| e.context(format!("{title}: {}", contender.name)))?;
            if round >= warm_up {
                cost.into_iter().for_each(|(figure, value)| series.push(figure, value));
            }
        }
    }
    Ok(Comparison { title, rounds, notes, series })
}
