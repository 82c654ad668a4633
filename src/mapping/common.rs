//! Records that are in the common fields already: what `--mapping none` means.

use smallvec::SmallVec;

use crate::base::{Position, Timestamp};
use crate::event::decode::Decoder;
use crate::event::{Event, FieldId, FieldName, Layout, Wanted};

use super::program::{put_if_missing, replace};
use super::time::Format;
use super::{Options, Reason, Unusable};

/// How `@timestamp` may be written.
const TIMES: [Format; 2] = [Format::Rfc3339, Format::Epoch(1_000)];

/// Reads events whose fields stand under their own names, dotted or nested; an object under `raw` is
/// the original record.
#[derive(Debug)]
pub struct Common {
    layout: Layout,
    decoder: Decoder,
    timestamp: FieldId,
    id: Option<FieldId>,
    kind: Option<FieldId>,
    free_text: Option<FreeText>,
}

/// Free text looks into the original record if there is one, else into the fields themselves.
#[derive(Debug)]
struct FreeText {
    slot: FieldId,
    has_raw: FieldId,
    /// What stands at `raw` itself, when that is no object.
    raw: FieldId,
    in_raw: FieldId,
}

impl Common {
    /// A reader for the layout of what rules want, which must not grow any more.
    pub fn new(layout: &Layout, options: Options) -> Self {
        let mut layout = layout.clone();
        let timestamp = layout.field(&FieldName::from_keys(["@timestamp"]));
        let of_all = |name: &str| layout.find(&FieldName::from_keys([name]));
        let (id, kind) = (of_all("event.id"), of_all("event.kind"));
        let free_text = layout.iter().any(|(_, wanted)| *wanted == Wanted::AnyText);
        let all_of_raw = FieldName::parse("raw.*").ok().filter(|_| free_text);
        let free_text = all_of_raw.map(|all_of_raw| FreeText {
            slot: layout.want(Wanted::AnyText),
            has_raw: layout.want(Wanted::Present(FieldName::from_keys(["raw"]))),
            raw: layout.field(&FieldName::from_keys(["raw"])),
            in_raw: layout.field(&all_of_raw),
        });
        // The decoder counts paths from the whole line, as it does of a product's record: there
        // `user.name` stands at `raw.user.name`, and `raw.x` at `raw.raw.x`. No two wishes become
        // one by that, so every slot keeps its number.
        let mut places = Layout::new();
        for (_, wanted) in layout.iter() {
            places.want(place(wanted));
        }
        let decoder = Decoder::new(&places, &[], options.limits);
        Self { layout, decoder, timestamp, id, kind, free_text }
    }

    /// The event that a line is. One without a time of its own has `timeless`, and still no value of
    /// `@timestamp`; or is refused, for a file has no other.
    pub fn event(
        &self,
        payload: &[u8],
        position: Position,
        timeless: Option<Timestamp>,
    ) -> Result<Event, Unusable> {
        let mut event = Event::empty(&self.layout, position, Timestamp::default(), "".into());
        self.decoder.decode(payload, &mut event)?;
        match (event.first(self.timestamp), timeless) {
            (Some(time), _) => {
                event.time =
                    TIMES.iter().find_map(|format| format.read(time)).ok_or_else(|| {
                        let time: String = time.to_string().chars().take(64).collect();
                        let why =
                            format!("`{time}` is neither RFC 3339 nor milliseconds since 1970");
                        Unusable::new(Reason::BadTime, why)
                    })?;
                let text = event.time.to_string();
                replace(&mut event, self.timestamp, SmallVec::from_buf([text.as_str().into()]));
            }
            (None, Some(time)) => event.time = time,
            (None, None) => return Err(Unusable::new(Reason::BadTime, "no `@timestamp`")),
        }
        if let Some(text) = &self.free_text
            && event.first(text.has_raw).is_some()
            && event.first(text.raw).is_none()
        {
            let strings = event.values(text.in_raw).iter().filter(|v| v.as_text().is_some());
            let strings = strings.cloned().collect();
            replace(&mut event, text.slot, strings);
        }
        let position = event.position.to_string();
        put_if_missing(&mut event, self.kind, || "event".into());
        put_if_missing(&mut event, self.id, || position.as_str().into());
        Ok(event)
    }
}

/// Where a wish is to be looked for in the line.
fn place(wanted: &Wanted) -> Wanted {
    // What a name prints as always reads back.
    let below = |name: &FieldName| {
        FieldName::parse(&format!("raw.{name}")).unwrap_or_else(|_| name.clone())
    };
    match wanted {
        Wanted::Values(name) => Wanted::Values(below(name)),
        Wanted::Elements(name) => Wanted::Elements(below(name)),
        Wanted::Present(name) => Wanted::Present(below(name)),
        Wanted::AnyText => Wanted::AnyText,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Query, Sets};

    /// Whether a line meets a query; the time that it has.
    fn read(query: &str, line: &str) -> Result<(bool, String), String> {
        let mut layout = Layout::new();
        let matcher = Query::parse(query).unwrap().compile(&mut layout, &Sets::new()).unwrap();
        let common = Common::new(&layout, Options::default());
        match common.event(line.as_bytes(), Position::new("replay", 0, 7), None) {
            Ok(event) => Ok((matcher.matches(&event), event.time.to_string())),
            Err(why) => Err(format!("{}: {}", why.reason.code(), why.detail)),
        }
    }

    fn meets(query: &str, fields: &str) -> bool {
        let line = format!(r#"{{"@timestamp": "2026-01-05T12:00:00Z", {fields}}}"#);
        read(query, &line).unwrap().0
    }

    #[test]
    fn fields_stand_dotted_or_nested() {
        for fields in [
            r#""user.name": "Eve", "user.roles": ["admin", null]"#,
            r#""user": {"name": "Eve", "roles": "admin"}"#,
            r#""user": {"name": "Eve"}, "user.roles": ["admin"]"#,
        ] {
            assert!(meets("user.name: eve and user.roles: admin", fields), "{fields}");
            assert!(meets("user.*: admin and *: eve and *.name: eve", fields), "{fields}");
            assert!(!meets("raw.user.name: * or raw.*: *", fields), "{fields}");
        }
    }

    #[test]
    fn what_stands_below_raw_is_the_original_record() {
        let fields = r#""user.name": "eve", "raw": {"a.b": [{"c": 1}, {"c": 2, "d": "Xyz"}]}"#;
        for query in [
            "raw.a.b.c: 2 and raw.a.b[1].d: xyz",
            "raw.a: * and raw.*: xyz and *.d: xyz and not raw.raw: *",
            "raw.a.b: { c: 2 and d: xyz } and not raw.a.b: { c: 1 and d: xyz }",
            "\"xy\" and not \"eve\"",
        ] {
            assert!(meets(query, fields), "{query}");
        }
        assert!(meets("\"ev\"", r#""user.name": "eve""#), "free text without a record");
        assert!(!meets("\"ev\"", r#""user.name": "eve", "raw": {"n": 1}"#));
    }

    #[test]
    fn every_event_has_a_kind_an_id_and_its_time() {
        assert!(meets("event.kind: event and event.id: \"replay:0:7\"", r#""x": 1"#));
        assert!(meets(
            "event.kind: state and event.id: i",
            r#""event": {"kind": "state", "id": "i"}"#
        ));
        assert!(meets("@timestamp >= 2026-01-05T12:00:00Z", r#""x": 1"#));
    }

    #[test]
    fn the_time_is_rfc_3339_or_milliseconds() {
        let time = |text: &str| read("*: *", &format!(r#"{{"@timestamp": {text}}}"#)).map(|r| r.1);
        assert_eq!(time("1767614400123").as_deref(), Ok("2026-01-05T12:00:00.123Z"));
        assert_eq!(time("\"2026-01-05T13:00:00+01:00\"").as_deref(), Ok("2026-01-05T12:00:00Z"));
        assert_eq!(
            time("\"yesterday\"").unwrap_err(),
            "bad_time: `yesterday` is neither RFC 3339 nor milliseconds since 1970"
        );
        assert_eq!(read("*: *", "{}").unwrap_err(), "bad_time: no `@timestamp`");
    }

    #[test]
    fn the_time_at_its_bounds() {
        let time = |text: &str| read("*: *", &format!(r#"{{"@timestamp": {text}}}"#)).map(|r| r.1);
        for (text, read) in [
            // A number in a text, a fraction (cut off), an exponent, before 1970, a date.
            ("\"1767614400123\"", "2026-01-05T12:00:00.123Z"),
            ("1767614400123.9", "2026-01-05T12:00:00.123Z"),
            ("1.7676144e12", "2026-01-05T12:00:00Z"),
            ("0", "1970-01-01T00:00:00Z"),
            ("-1", "1969-12-31T23:59:59.999Z"),
            ("\"2026-01-05\"", "2026-01-05T00:00:00Z"),
            ("\"2026-01-05 12:00:00.9999Z\"", "2026-01-05T12:00:00.999Z"),
            ("\"9999-12-30T22:00:00Z\"", "9999-12-30T22:00:00Z"),
            // Of an array the first that is there.
            ("[null, 1767614400123, 5]", "2026-01-05T12:00:00.123Z"),
        ] {
            assert_eq!(time(text).as_deref(), Ok(read), "{text}");
        }
        for text in ["null", "[]", "{}", "{\"a\": 1}", "[null]"] {
            assert_eq!(time(text).unwrap_err(), "bad_time: no `@timestamp`", "{text}");
        }
        for text in
            ["\"\"", "true", "1e300", "253402207200001", "\"2026-01-05T12:00:00\"", "\"12:00\""]
        {
            let told = time(text).unwrap_err();
            assert!(told.ends_with("is neither RFC 3339 nor milliseconds since 1970"), "{told}");
        }
        let long = time(&format!("\"{}\"", "x".repeat(5_000))).unwrap_err();
        assert!(long.len() < 200, "{long}");
    }

    #[test]
    fn only_an_object_below_raw_is_an_original_record() {
        // Dotted or nested, it is the same; and what else stands there has no paths.
        assert!(meets("raw.a.b: 1", r#""raw.a.b": 1"#));
        assert!(meets("raw.a.b: 1", r#""raw.a": {"b": 1}"#));
        for raw in ["\"text\"", "null", "[]", "7"] {
            let fields = format!(r#""user.name": "eve", "raw": {raw}"#);
            assert!(meets("user.name: eve and not raw.a: *", &fields), "{raw}");
            assert!(meets("\"ev\"", &fields), "{raw} is no record, so free text finds fields");
        }
        assert!(!meets("\"ev\"", r#""user.name": "eve", "raw": {}"#), "an empty record is one");
    }

    #[test]
    fn what_is_malformed_is_refused_as_in_a_product() {
        let code = |line: &str| read("user.name: *", line).unwrap_err();
        assert!(code("nonsense").starts_with("not_json: "));
        assert!(code(r#"{"user.name": 1, "user": {"name": 2}}"#).starts_with("duplicate_key: "));
        for line in
            ["", "[]", "\"text\"", "7", "null", "{\"@timestamp\": 1", "{} {}", "{\"a\": 1,}"]
        {
            assert!(code(line).starts_with("not_json: "), "{line}: {}", code(line));
        }
        let nested = format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
        assert!(code(&nested).starts_with("too_deep: "), "{}", code(&nested));
    }
}
