//! When two values of a field are one: the text by which they are compared as keys, and by which
//! detectors tell distinct values apart.

use xxhash_rust::xxh3::xxh3_128;

use crate::event::Scalar;
use crate::query::fold;

/// The longest canonical text of one value; a longer one is cut and told apart by its hash.
pub const CANONICAL_BYTES: usize = 512;

/// The text by which a value of this field is compared as a key or counted as distinct: numbers in
/// their shortest form, names and addresses of people without case.
pub fn canonical(field: &str, value: &Scalar) -> String {
    let text = value.to_string();
    let text = if is_folded(field) { fold::text(&text).into_owned() } else { text };
    match text.get(..CANONICAL_BYTES.min(text.floor_char_boundary(CANONICAL_BYTES))) {
        Some(start) if start.len() < text.len() => {
            format!("{start}#{:032x}", xxh3_128(text.as_bytes()))
        }
        _ => text,
    }
}

/// `Eve@x` and `eve@x` are one person; everything else is exact.
fn is_folded(field: &str) -> bool {
    matches!(field, "user.name" | "user.email" | "user.target.name" | "user.target.email")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_have_no_case_and_all_else_is_exact() {
        for field in ["user.name", "user.email", "user.target.name", "user.target.email"] {
            assert_eq!(canonical(field, &"Eve@X".into()), "eve@x");
        }
        assert_eq!(canonical("user.id", &"Eve@X".into()), "Eve@X");
        assert_eq!(canonical("raw.user.name", &"Eve".into()), "Eve");
    }

    #[test]
    fn what_fits_is_itself_and_what_does_not_is_cut_and_told_apart() {
        let fits = "x".repeat(CANONICAL_BYTES);
        assert_eq!(canonical("a", &(&*fits).into()), fits);
        let (one, other) = (format!("{fits}1"), format!("{fits}2"));
        assert_ne!(canonical("a", &(&*one).into()), canonical("a", &(&*other).into()));
        assert!(canonical("a", &(&*one).into()).len() < CANONICAL_BYTES + 40);
    }
}
