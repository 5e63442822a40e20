//! Columns as docker aligns them: at least ten wide, three apart, nothing behind the last.

/// Rows of cells to text, each line ended.
pub(crate) fn align(rows: &[Vec<String>]) -> String {
    align_wide(rows, 10)
}

/// The same with columns of at least `least`.
pub(crate) fn align_wide(rows: &[Vec<String>], least: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter(|r| r.len() > column + 1).map(|r| r[column].chars().count());
        (cells.max().unwrap_or(0) + 3).max(least)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < row.len() {
                let gap = widths[column].saturating_sub(cell.chars().count());
                out.extend(std::iter::repeat_n(' ', gap));
            }
        }
        out.push('\n');
    }
    out
}

/// At most `width` characters, the last an ellipsis if something was cut.
pub(crate) fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// The first twelve digits of an id.
pub(crate) fn short_id(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_ten_wide_and_three_apart() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = align(&[row(["TAG", "LONGER NAME X", "SIZE"]), row(["latest", "a", "1MB"])]);
        assert_eq!(text, "TAG       LONGER NAME X   SIZE\nlatest    a               1MB\n");
    }

    #[test]
    fn cut_texts_and_ids() {
        assert_eq!(ellipsis("abcdef", 4), "abc…");
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
    }
}
