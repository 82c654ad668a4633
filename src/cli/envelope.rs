//! Records that do not stand one on a line, as every command here reads them, but in an array: what
//! to say to whoever has such a file. `CloudTrail` puts `{"Records": […]}` into S3, other services
//! `items` or `value`, and `jq .` spreads a document over many lines.
//!
//! They are not taken apart here: a record's number is that of its line, and that is what firings,
//! notes and `hark match --indexes` say.

/// What to do about a record that could not be used, or about what is left of one that was too long;
/// `None` when it is not of this kind.
pub(super) fn advice(record: &[u8]) -> Option<String> {
    match record.trim_ascii() {
        b"{" => Some(
            "a document begins there that goes on over more lines; `jq -c .` puts it on one, \
             `jq -c '.Records[]'` each record of an array `Records`"
                .to_owned(),
        ),
        [b'[', ..] => Some(
            "it is an array; `jq -c '.[]'` puts each of its records on a line of its own, as they are \
             read here"
                .to_owned(),
        ),
        [b'{', ..] => {
            let name = array(record)?;
            let path = if is_plain(&name) { format!(".{name}[]") } else { format!(".[{name:?}][]") };
            Some(format!(
                "it has an array of records, `{name}`; `jq -c '{path}'` puts each of them on a line of \
                 its own, as they are read here"
            ))
        }
        _ => None,
    }
}

fn is_plain(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The first field of an object that is an array of objects. Where the object ends does not matter, for
/// it may have been cut; nor whether it is JSON to its end, for this is advice.
fn array(record: &[u8]) -> Option<String> {
    let (mut depth, mut name) = (0_u32, Vec::new());
    let mut bytes = record.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                name.clear();
                while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
                    name.push(byte);
                    if byte == b'\\' {
                        name.extend(bytes.next());
                    }
                }
            }
            b'[' if depth == 1 => {
                while bytes.next_if(u8::is_ascii_whitespace).is_some() {}
                if matches!(bytes.peek(), None | Some(b'{')) {
                    return String::from_utf8(name).ok();
                }
                depth += 1;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words for `jq`.
    fn jq(record: &str) -> Option<String> {
        let told = advice(record.as_bytes())?;
        Some(told.split('`').find(|word| word.starts_with("jq"))?.to_owned())
    }

    #[test]
    fn arrays_of_records_are_known_wherever_they_stand_and_however_they_end() {
        for (record, told) in [
            (r#"{"Records":[{"eventName":"x"}]}"#, "jq -c '.Records[]'"),
            (r#"{"Records":[{"eventName":"x"},{"eventN"#, "jq -c '.Records[]'"),
            (r#"{"kind": "a:[{", "n": {"in": [{}]}, "items": [ {"id": 1}]}"#, "jq -c '.items[]'"),
            (r#"{"tags":["x"],"@odata.value":[{}]}"#, "jq -c '.[\"@odata.value\"][]'"),
            (r#"{"q\"":"\\","value":[{}]}"#, "jq -c '.value[]'"),
            ("{ \"Records\": [ ", "jq -c '.Records[]'"),
            ("[", "jq -c '.[]'"),
            (r#"[{"a":1}]"#, "jq -c '.[]'"),
            ("{", "jq -c ."),
        ] {
            assert_eq!(jq(record).as_deref(), Some(told), "{record}");
        }
    }

    #[test]
    fn other_records_are_left_alone() {
        for record in
            ["", "oops", "{}", r#"{"a":[]}"#, r#"{"a":[1,2]}"#, r#"{"a":{"b":[{}]}}"#, "}"]
        {
            assert_eq!(advice(record.as_bytes()), None, "{record}");
        }
    }
}
