//! Tables for people: columns as wide as they need, the last one as long as it is.

/// The lines of a table under its headings. Numbers, by their column, stand to the right.
pub(super) fn lines(headings: &[&str], numbers: &[usize], rows: &[Vec<String>]) -> String {
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&headings]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut text = String::new();
    for row in [&headings].into_iter().chain(rows) {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let room = " ".repeat(width - cell.chars().count());
            let (before, behind) =
                if numbers.contains(&column) { (room.as_str(), "") } else { ("", room.as_str()) };
            line.push_str(before);
            line.push_str(cell);
            line.push_str(behind);
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `1 alert`, `2,900 records`.
pub(super) fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// A number with its thousands apart.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need() {
        let rows = [["é", "7", "long words"], ["xyz", "1200", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let lines = lines(&["A", "N", "TITLE"], &[1], &rows);
        assert_eq!(lines, "A       N  TITLE\né       7  long words\nxyz  1200\n");
    }

    #[test]
    fn numbers_are_read_by_their_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            (counted(1, "alert"), counted(0, "alert")),
            ("1 alert".into(), "0 alerts".into())
        );
    }
}
