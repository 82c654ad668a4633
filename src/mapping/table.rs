//! Tables that mappings look values up in: people by e-mail, hosts by address. CSV or JSON, small
//! enough for memory; the shell reads the files and hands the texts in.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::geo::Geo;
use crate::base::Live;
use crate::event::Scalar;

/// Rows of a table at most.
pub const ROWS_MAX: usize = 1_000_000;

/// One table: rows by key, ignoring case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    rows: BTreeMap<String, BTreeMap<String, Vec<Scalar>>>,
    /// For a table of addresses; then there are no rows.
    pub(super) geo: Option<Geo>,
}

/// The names among [`Tables`] of those that say where addresses are and whose; a file of settings
/// cannot name them.
pub const GEOIP: [&str; 2] = ["[geoip] file", "[geoip] asn"];

/// Tables by name; contents may change while they are used.
pub type Tables = BTreeMap<String, Live<Table>>;

impl Table {
    /// The values of a column in the row of a key; `None` without such a row or value.
    pub fn look_up(&self, key: &str, column: &str) -> Option<&[Scalar]> {
        self.rows.get(&key.to_lowercase())?.get(column).map(Vec::as_slice)
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.geo.as_ref().map_or(self.rows.len(), Geo::len)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From the bytes of a `MaxMind` database: what stands there for networks of addresses.
    pub fn from_mmdb(bytes: Vec<u8>) -> Result<Self, String> {
        Ok(Self { rows: BTreeMap::new(), geo: Some(Geo::new(bytes)?) })
    }

    /// From rows as JSON objects. The error is a sentence.
    pub fn from_rows<'r>(
        rows: impl IntoIterator<Item = &'r Map<String, Value>>,
        key: &str,
    ) -> Result<Self, String> {
        let mut table = Self::default();
        for (n, row) in rows.into_iter().enumerate() {
            let number = n + 1;
            let key = row.get(key).and_then(Scalar::from_json).ok_or_else(|| {
                format!("expected the key column `{key}` in every row, row {number} has none")
            })?;
            let columns = row.iter().map(|(name, value)| (name.clone(), scalars(value)));
            let columns = columns.filter(|(_, values)| !values.is_empty()).collect();
            table.insert(&key.to_string(), columns, number)?;
        }
        Ok(table)
    }

    /// From the rows that a test gives, which does not say what they are looked up by: each is found
    /// by any of its values, the earlier row first.
    pub fn of_test<'r>(rows: impl IntoIterator<Item = &'r Map<String, Value>>) -> Self {
        let mut table = Self::default();
        for row in rows {
            let columns: BTreeMap<_, _> =
                row.iter().map(|(n, v)| (n.clone(), scalars(v))).collect();
            for key in columns.values().flatten() {
                let row = table.rows.entry(key.to_string().to_lowercase());
                row.or_insert_with(|| columns.clone());
            }
        }
        table
    }

    /// From a file's text: JSON when its name ends in `.json`, else CSV.
    pub fn from_file(name: &str, text: &str, key: &str) -> Result<Self, String> {
        if std::path::Path::new(name).extension().is_some_and(|end| end == "json") {
            Self::from_json(text, key)
        } else {
            Self::from_csv(text, key)
        }
    }

    /// From a JSON array of objects; array values become several values.
    pub fn from_json(text: &str, key: &str) -> Result<Self, String> {
        let rows: Vec<Map<String, Value>> = serde_json::from_str(text)
            .map_err(|error| format!("expected a JSON list of objects: {error}"))?;
        Self::from_rows(&rows, key)
    }

    /// From CSV (RFC 4180, the first line names the columns; an empty cell is a missing value).
    pub fn from_csv(text: &str, key: &str) -> Result<Self, String> {
        let mut lines = csv(text)?.into_iter();
        let Some(header) = lines.next() else { return Ok(Self::default()) };
        let key_at = header.iter().position(|name| name == key).ok_or_else(|| {
            format!("expected the key column `{key}` among {}", header.join(", "))
        })?;
        let mut table = Self::default();
        for (n, row) in lines.enumerate() {
            let number = n + 2;
            if row.len() != header.len() {
                let (found, expected) = (row.len(), header.len());
                return Err(format!("expected {expected} columns, row {number} has {found}"));
            }
            let key = row.get(key_at).cloned().unwrap_or_default();
            let cells = header.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
            let columns = cells.map(|(name, cell)| (name.clone(), vec![Scalar::from(&*cell)]));
            table.insert(&key, columns.collect(), number)?;
        }
        Ok(table)
    }

    fn insert(
        &mut self,
        key: &str,
        columns: BTreeMap<String, Vec<Scalar>>,
        number: usize,
    ) -> Result<(), String> {
        if key.is_empty() {
            return Err(format!("expected a key in every row, row {number} has none"));
        }
        if self.rows.len() >= ROWS_MAX {
            return Err(format!("expected at most {ROWS_MAX} rows"));
        }
        if self.rows.insert(key.to_lowercase(), columns).is_some() {
            return Err(format!("the key `{key}` of row {number} stands in an earlier row too"));
        }
        Ok(())
    }
}

fn scalars(value: &Value) -> Vec<Scalar> {
    match value {
        Value::Array(values) => values.iter().filter_map(Scalar::from_json).collect(),
        one => Scalar::from_json(one).into_iter().collect(),
    }
}

/// The cells of each line; lines without any text are left out.
fn csv(text: &str) -> Result<Vec<Vec<String>>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            c if quoted => cell.push(c),
            '"' if cell.is_empty() => quoted = true,
            ',' => row.push(std::mem::take(&mut cell)),
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    row.push(cell);
    rows.push(row);
    rows.retain(|row| row.iter().any(|cell| !cell.is_empty()));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_and_json_give_the_same_table() {
        let csv = "email,timezone,note\r\nAiko@x.io,Asia/Tokyo,\"says \"\"hi\"\", often\"\r\n\nbob@x.io,,\n";
        let json = r#"[{"email":"aiko@x.io","timezone":"Asia/Tokyo","note":"says \"hi\", often"},
                       {"email":"bob@x.io","timezone":null,"note":[]}]"#;
        let from_csv = Table::from_csv(csv, "email").unwrap();
        assert_eq!(from_csv.len(), Table::from_json(json, "email").unwrap().len());
        for (key, column) in
            [("AIKO@x.io", "note"), ("aiko@x.io", "timezone"), ("bob@x.io", "note")]
        {
            let from_json = Table::from_json(json, "email").unwrap();
            assert_eq!(from_csv.look_up(key, column), from_json.look_up(key, column), "{key}");
        }
        assert_eq!(from_csv.look_up("aiko@x.io", "timezone"), Some(&["Asia/Tokyo".into()][..]));
        assert_eq!(from_csv.look_up("eve@x.io", "timezone"), None);
    }

    #[test]
    fn several_values_come_from_a_json_list() {
        let table = Table::from_json(r#"[{"id":7,"roles":["admin","dev"]}]"#, "id").unwrap();
        assert_eq!(table.look_up("7", "roles"), Some(&["admin".into(), "dev".into()][..]));
    }

    #[test]
    fn a_table_with_a_mistake_says_where() {
        let of = |text| Table::from_csv(text, "id").unwrap_err();
        assert_eq!(of("a,b\n"), "expected the key column `id` among a, b");
        assert_eq!(of("id,b\n1,2\n3\n"), "expected 2 columns, row 3 has 1");
        assert_eq!(of("id,b\n1,2\n1,3\n"), "the key `1` of row 3 stands in an earlier row too");
        assert_eq!(of("id,b\n,3\n"), "expected a key in every row, row 2 has none");
        assert_eq!(of("id,b\n\"1,3\n"), "a quote is not closed");
        assert!(Table::from_json("{}", "id").unwrap_err().starts_with("expected a JSON list"));
    }
}
