//! The tables on the terminal: one per comparison, readable without knowing the project.

use std::fmt::Write;

use crate::comparison::{Comparison, Figure, Series};
use crate::statistics::{Samples, ratio};

/// Lays a comparison out as a table.
pub(crate) fn render(comparison: &Comparison) -> String {
    let Some(ours) = comparison.series.first() else { return String::new() };
    let figures: Vec<Figure> = ours.figures.iter().map(|(figure, _)| *figure).collect();
    let mut rows = vec![heading(&ours.name, &figures)];
    rows.extend(comparison.series.iter().enumerate().map(|(i, series)| row(ours, series, &figures, i > 0)));
    let mut out = format!("\n{}   ({} rounds)\n", comparison.title, comparison.rounds);
    for line in columns(&rows) {
        let _ = writeln!(out, "  {line}");
    }
    out
}

/// The notes of a part's comparisons, each once.
pub(crate) fn notes(comparisons: &[Comparison]) -> String {
    let mut seen = Vec::new();
    for note in comparisons.iter().flat_map(|comparison| &comparison.notes) {
        if !seen.contains(&note) {
            seen.push(note);
        }
    }
    seen.iter().map(|note| format!("  * {note}\n")).collect()
}

fn heading(ours: &str, figures: &[Figure]) -> Vec<String> {
    let mut cells = vec![String::new()];
    cells.extend(figures.iter().map(|figure| figure.heading().to_owned()));
    cells
        .push(format!("{ours} / this: {}", figures.iter().map(|f| short(*f)).collect::<Vec<_>>().join(", ")));
    cells
}

fn short(figure: Figure) -> &'static str {
    figure.heading().split(' ').next().unwrap_or_default()
}

fn row(ours: &Series, series: &Series, figures: &[Figure], compare: bool) -> Vec<String> {
    let mut cells = vec![series.name.clone()];
    cells.extend(figures.iter().map(|figure| series.samples(*figure).map_or_else(String::new, figure_cell)));
    let ratios: Vec<String> = figures
        .iter()
        .map(|figure| {
            let both = ours.samples(*figure).zip(series.samples(*figure));
            both.and_then(|(ours, theirs)| ratio(ours, theirs))
                .map_or("–".to_owned(), |r| format!("{r:.2}×"))
        })
        .collect();
    cells.push(if compare { ratios.join("  ") } else { String::new() });
    cells
}

fn figure_cell(samples: &Samples) -> String {
    let (Some(median), Some(low), Some(high)) =
        (samples.median(), samples.percentile(10.0), samples.percentile(90.0))
    else {
        return String::new();
    };
    let decimals = if high < 100.0 { 1 } else { 0 };
    format!("{median:.decimals$} ({low:.decimals$}–{high:.decimals$})")
}

/// Pads the cells: the first and the last column to the left, the figures to the right.
fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().enumerate().map(|(i, cell)| {
                let width = widths[i];
                if i == 0 || i + 1 == count { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_medians_and_our_share_of_each_peers_figure() {
        let mut ours = Series::new("ours");
        let mut peer = Series::new("peer 1.0");
        for value in [2.0, 2.0, 3.0] {
            ours.push(Figure::Wall, value);
            peer.push(Figure::Wall, value * 4.0);
        }
        let comparison = Comparison {
            title: "a deed".into(),
            rounds: 3,
            notes: vec!["a note".into(); 2],
            series: vec![ours, peer],
        };
        let text = render(&comparison);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "a deed   (3 rounds)");
        assert!(lines[2].contains("wall ms") && lines[2].contains("ours / this: wall"), "{text}");
        assert_eq!(lines[3], "  ours       2.0 (2.0–2.8)");
        assert_eq!(lines[4], "  peer 1.0  8.0 (8.0–11.2)  0.25×");
        assert_eq!(notes(&[comparison]), "  * a note\n");
    }
}
