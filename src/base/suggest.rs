//! "Did you mean": the nearest known word to one that was mistyped, a text in the form of another type.

/// The candidate nearest to `word`, if one is near enough to be meant: at most a third of the
/// longer word's characters differ (swapped neighbours count once). Ties go to the first.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other: Vec<char> = candidate.to_lowercase().chars().collect();
        let distance = distance(&word, &other);
        let allowed = word.len().max(other.len()).div_ceil(3);
        if distance <= allowed && distance < other.len() && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// A text in the form that a key expects instead, where that is a matter of brackets or quotes:
/// `["user.name"]` for a list, `5` and (of `30 %`) `0.3` for a number.
pub fn in_form(expected: &str, text: &str) -> Option<String> {
    let text = text.trim();
    match expected {
        "a list" => Some(format!("[{text:?}]")),
        "a number" => {
            let share = text.strip_suffix('%').and_then(|n| n.trim_end().parse::<f64>().ok());
            let number = share.map(|percent| percent / 100.0);
            number.or_else(|| text.parse().ok()).filter(|n| n.is_finite()).map(|n| n.to_string())
        }
        "a whole number" => text.parse::<i64>().ok().map(|n| n.to_string()),
        _ => None,
    }
}

/// What to write for a word that stands without quotes where a text has them: `10m`, `high`.
pub fn in_quotes(word: &str) -> Option<String> {
    let is_plain = !word.is_empty()
        && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'));
    is_plain.then(|| format!("write it in quotes: `\"{word}\"`"))
}

/// Optimal string alignment distance: insert, delete, replace, swap neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&last, j) + usize::from(x != y);
            let mut least = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                least = least.min(at(&before_last, j - 1) + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_meant_word_and_nothing_far_fetched() {
        let known = ["severity", "group_by", "threshold", "title"];
        assert_eq!(nearest("severty", known), Some("severity"));
        assert_eq!(nearest("groupby", known), Some("group_by"));
        assert_eq!(nearest("tilte", known), Some("title"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn a_text_is_told_in_the_form_that_is_expected() {
        assert_eq!(in_form("a list", "user.name").as_deref(), Some("[\"user.name\"]"));
        assert_eq!(in_form("a number", "30 %").as_deref(), Some("0.3"));
        assert_eq!(in_form("a number", "1.5").as_deref(), Some("1.5"));
        assert_eq!(in_form("a whole number", " 5 ").as_deref(), Some("5"));
        for (expected, text) in
            [("a number", "many"), ("a number", "inf"), ("a whole number", "1.5"), ("a table", "x")]
        {
            assert_eq!(in_form(expected, text), None, "{expected}: {text}");
        }
    }
}
