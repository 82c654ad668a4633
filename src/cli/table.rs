//! Tables for people: columns as wide as they need, the last one as long as it is.

/// Characters that are left of a cell at least.
const CELL_MIN: usize = 14;

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

/// Cuts cells of some columns, so that no line is longer than `width`, as far as [`CELL_MIN`] allows:
/// those of the first of these columns, then those of the wider of the others. Of the last column of
/// the table the beginning is kept, of the others both ends.
pub(super) fn fit(headings: &[&str], rows: &mut [Vec<String>], cut: &[usize], width: usize) {
    let widest = |column: usize, heading: &str| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(heading.chars().count())
    };
    let mut widths: Vec<usize> = headings.iter().zip(0..).map(|(h, n)| widest(n, h)).collect();
    let whole: usize = widths.iter().sum::<usize>() + 2 * headings.len().saturating_sub(1);
    let Some((first, others)) = cut.split_first() else { return };
    for _ in width..whole {
        let wide = |n: &usize| widths.get(*n).copied().filter(|width| *width > CELL_MIN);
        let next = Some(first).filter(|n| wide(n).is_some());
        let next =
            next.or_else(|| others.iter().filter(|n| wide(n).is_some()).max_by_key(|n| wide(n)));
        let Some(width) = next.and_then(|n| widths.get_mut(*n)) else { break };
        *width -= 1;
    }
    let last = headings.len().saturating_sub(1);
    for (column, cell) in rows.iter_mut().flat_map(|row| row.iter_mut().enumerate()) {
        let (width, len) = (widths.get(column).copied().unwrap_or_default(), cell.chars().count());
        if len > width && cut.contains(&column) {
            let end = if column == last { 0 } else { (width - 1) / 2 };
            let (start, rest) = (cell.chars().take(width - 1 - end), cell.chars().skip(len - end));
            *cell = start.chain(['…']).chain(rest).collect();
        }
    }
}

/// The width of the terminal that standard output is, if it is one.
pub(super) fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0))
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
    fn cells_are_cut_to_the_width_as_far_as_they_can_be() {
        let (rule, key, title) = ("rule/".repeat(8), "user/key/".repeat(4), "title ".repeat(10));
        let fitted = |key: &str, width| {
            let mut rows = [vec!["7".to_owned(), rule.clone(), key.to_owned(), title.clone()]];
            let headings = ["N", "RULE", "KEY", "TITLE"];
            fit(&headings, &mut rows, &[2, 1, 3], width);
            lines(&headings, &[0], &rows).lines().last().unwrap_or_default().to_owned()
        };
        let whole = format!("7  {rule}  {key}  {}", title.trim_end());
        assert_eq!((fitted(&key, 143), fitted(&key, 999)), (whole.clone(), whole));
        expect_test::expect![[r"
            7  rule/rule/rule/rule/rule/rule/rule/rule/  user/key/us…y/user/key/  title title title title title title title title title title
            7  rule/rule/rule/rule/rule/rule/rule/rule/  user/ke…r/key/  title title title title title title title title …
            7  rule/rule/rule/…ule/rule/rule/  user/ke…r/key/  title title title title titl…
            7  rule/ru…e/rule/  user/ke…r/key/  title title t…"]]
            .assert_eq(&[130, 110, 80, 50].map(|w| fitted(&key, w)).join("\n"));
        assert_eq!(fitted("é", 80).chars().count(), 80);
        let narrowest = fitted(&key, 1);
        assert_eq!(narrowest.chars().count(), 1 + 3 * (2 + CELL_MIN), "{narrowest}");
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
