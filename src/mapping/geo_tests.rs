//! Events get the place of their address from a database, and keep what they say themselves.

use super::geo::{FIELDS, Geo};
use super::*;
use crate::event::Scalar;

/// A value of the format, which is <https://maxmind.github.io/MaxMind-DB/>.
enum Data {
    Text(&'static str),
    Double(f64),
    Number(u32),
    List(Vec<Data>),
    Map(Vec<(&'static str, Data)>),
}

impl Data {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                head(out, 2, text.len());
                out.extend(text.as_bytes());
            }
            Self::Double(number) => {
                head(out, 3, 8);
                out.extend(number.to_be_bytes());
            }
            Self::Number(number) => {
                head(out, 6, 4);
                out.extend(number.to_be_bytes());
            }
            Self::List(values) => {
                // Kinds above seven stand in a byte of their own.
                out.push(u8::try_from(values.len()).unwrap());
                out.push(11 - 7);
                for value in values {
                    value.write(out);
                }
            }
            Self::Map(entries) => {
                head(out, 7, entries.len());
                for (key, value) in entries {
                    Self::Text(key).write(out);
                    value.write(out);
                }
            }
        }
    }
}

fn head(out: &mut Vec<u8>, kind: u8, size: usize) {
    let size = u8::try_from(size).unwrap();
    if size < 29 {
        out.push(kind * 32 + size);
    } else {
        out.extend([kind * 32 + 29, size - 29]);
    }
}

const EMPTY: u32 = u32::MAX;
/// Records of data are told from nodes by this bit until the number of nodes is known.
const DATA: u32 = 1 << 30;

/// A database of IPv4 networks, each an address and the length of its prefix.
fn database(networks: &[([u8; 4], u32, Data)]) -> Vec<u8> {
    let (mut nodes, mut data) = (vec![[EMPTY; 2]], Vec::new());
    for (address, prefix, entry) in networks {
        let (bits, mut node) = (u32::from_be_bytes(*address), 0);
        for depth in 0..*prefix {
            let side = usize::from(bits >> (31 - depth) & 1 == 1);
            if depth + 1 == *prefix {
                nodes[node][side] = DATA | u32::try_from(data.len()).unwrap();
            } else {
                if nodes[node][side] == EMPTY {
                    nodes[node][side] = u32::try_from(nodes.len()).unwrap();
                    nodes.push([EMPTY; 2]);
                }
                node = usize::try_from(nodes[node][side]).unwrap();
            }
        }
        entry.write(&mut data);
    }
    let count = u32::try_from(nodes.len()).unwrap();
    let mut out = Vec::new();
    for record in nodes.iter().flatten() {
        let value = match *record {
            EMPTY => count,
            record if record & DATA != 0 => count + 16 + (record & !DATA),
            node => node,
        };
        out.extend(&value.to_be_bytes()[1..]);
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let short = |out: &mut Vec<u8>, key: &'static str, number: u16| {
        Data::Text(key).write(out);
        head(out, 5, 2);
        out.extend(number.to_be_bytes());
    };
    head(&mut out, 7, 9);
    for (key, number) in [("record_size", 24), ("ip_version", 4)] {
        short(&mut out, key, number);
    }
    for (key, number) in [("binary_format_major_version", 2), ("binary_format_minor_version", 0)] {
        short(&mut out, key, number);
    }
    for (key, value) in [
        ("node_count", Data::Number(count)),
        ("database_type", Data::Text("Test-City")),
        ("languages", Data::List(vec![Data::Text("en")])),
        ("description", Data::Map(vec![("en", Data::Text("made by a test"))])),
    ] {
        Data::Text(key).write(&mut out);
        value.write(&mut out);
    }
    Data::Text("build_epoch").write(&mut out);
    out.extend([8, 9 - 7]);
    out.extend(1_767_225_600_u64.to_be_bytes());
    out
}

fn names(name: &'static str) -> Data {
    Data::Map(vec![("de", Data::Text("anders")), ("en", Data::Text(name))])
}

/// A city for 203.0.113.0/24, a country alone for 198.51.100.0/25.
fn cities() -> Vec<u8> {
    let country =
        |code, name| Data::Map(vec![("iso_code", Data::Text(code)), ("names", names(name))]);
    let york = Data::Map(vec![
        (
            "city",
            Data::Map(vec![("geoname_id", Data::Number(5_128_581)), ("names", names("New York"))]),
        ),
        (
            "continent",
            Data::Map(vec![("code", Data::Text("NA")), ("names", names("North America"))]),
        ),
        ("country", country("US", "United States")),
        ("subdivisions", Data::List(vec![country("NY", "New York State")])),
        (
            "location",
            Data::Map(vec![
                ("latitude", Data::Double(40.7128)),
                ("longitude", Data::Double(-74.006)),
                ("time_zone", Data::Text("America/New_York")),
            ]),
        ),
        ("postal", Data::Map(vec![("code", Data::Text("10007"))])),
    ]);
    let berlin = Data::Map(vec![("country", country("DE", "Germany"))]);
    database(&[([203, 0, 113, 0], 24, york), ([198, 51, 100, 0], 25, berlin)])
}

fn systems() -> Vec<u8> {
    let system = Data::Map(vec![
        ("autonomous_system_number", Data::Number(64_496)),
        ("autonomous_system_organization", Data::Text("Example Networks of the documentation")),
    ]);
    database(&[([203, 0, 113, 0], 24, system)])
}

fn tables() -> Tables {
    let table = |bytes| Table::from_mmdb(bytes).unwrap().into();
    let [cities_name, systems_name] = GEOIP;
    [(cities_name.to_owned(), table(cities())), (systems_name.to_owned(), table(systems()))].into()
}

/// What an event has of these fields.
fn read(tables: &Tables, wanted: &[&str], payload: &str) -> String {
    let mapping = "topics = ['t']\n[fields]\n'source.ip' = 'ip'\n'source.geo.country_iso_code' = 'country'
        [[classify]]\nwhen = 'source.geo.country_iso_code: US'\nset = { 'event.category' = 'abroad' }";
    let mut layout = Layout::new();
    let slots: Vec<_> =
        wanted.iter().map(|name| layout.field(&FieldName::parse(name).unwrap())).collect();
    let sources = [SourceText::new("m.toml", mapping)];
    let (sets, options) = (Sets::default(), Options::default());
    let (mappings, found) = Mappings::load(&sources, tables, &layout, &sets, options);
    assert!(found.is_empty(), "{found:?}");
    let record = RawRecord {
        position: Position::new("t", 0, 1),
        timestamp: None,
        key: None,
        headers: Vec::new(),
        payload: payload.as_bytes(),
    };
    let event = mappings.event(&record, Timestamp::from_millis(0)).unwrap();
    let texts = |slot: &_| event.values(*slot).iter().map(ToString::to_string).collect::<Vec<_>>();
    slots.iter().map(|slot| texts(slot).join("+")).collect::<Vec<_>>().join("|")
}

#[test]
fn an_event_gets_the_place_and_the_network_of_its_address() {
    assert_eq!(
        read(&tables(), &FIELDS, r#"{"ip": "203.0.113.200"}"#),
        "40.7128,-74.006|New York|US|United States|NA|North America|US-NY|New York State|10007|America/New_York|64496|Example Networks of the documentation"
    );
    assert_eq!(
        read(&tables(), &FIELDS, r#"{"ip": "::ffff:198.51.100.1"}"#),
        "||DE|Germany||||||||"
    );
    for nowhere in
        [r#"{"ip": "198.51.100.128"}"#, r#"{"ip": "2001:db8::1"}"#, r#"{"ip": "x"}"#, "{}"]
    {
        assert_eq!(read(&tables(), &FIELDS, nowhere), "|||||||||||", "{nowhere}");
    }
    // The first address that is known.
    let several = r#"{"ip": ["10.0.0.1", "198.51.100.1", "203.0.113.1"]}"#;
    assert_eq!(read(&tables(), &["source.geo.country_iso_code"], several), "DE");
}

#[test]
fn what_the_record_says_itself_stays() {
    let wanted = ["source.geo.country_iso_code", "source.geo.city_name"];
    let payload = r#"{"ip": "203.0.113.1", "country": "CA"}"#;
    assert_eq!(read(&tables(), &wanted, payload), "CA|New York");
    assert_eq!(read(&Tables::new(), &wanted, payload), "CA|");
}

#[test]
fn classes_see_the_place() {
    assert_eq!(read(&tables(), &["event.category"], r#"{"ip": "203.0.113.1"}"#), "abroad");
    assert_eq!(read(&tables(), &["event.category"], r#"{"ip": "198.51.100.1"}"#), "");
}

#[test]
fn rules_know_that_these_fields_are_filled() {
    let sources =
        |fields: &str| [SourceText::new("m.toml", format!("topics = ['t']\n[fields]\n{fields}"))];
    let fills = |fields: &str, tables: &Tables| {
        let (sets, options) = (Sets::default(), Options::default());
        let (mappings, _) =
            Mappings::load(&sources(fields), tables, &Layout::new(), &sets, options);
        mappings.fills(&FieldName::parse("source.geo.location").unwrap())
    };
    assert!(fills("'source.ip' = 'ip'", &tables()));
    assert!(!fills("'source.ip' = 'ip'", &Tables::new()));
    assert!(!fills("'user.name' = 'ip'", &tables()), "without an address there is no place");
}

#[test]
fn what_is_no_database_is_refused() {
    for bytes in [Vec::new(), b"not a database".to_vec(), cities()[..100].to_vec()] {
        let why = Geo::new(bytes).unwrap_err();
        assert!(why.starts_with("expected a MaxMind database (.mmdb): "), "{why}");
    }
    let berlin = Geo::new(cities()).unwrap().look_up(" 198.51.100.9").unwrap();
    assert_eq!(berlin.value("source.geo.country_iso_code"), Some(Scalar::from("DE")));
    // The file for the tests of the configuration is this one.
    assert_eq!(include_bytes!("../../tests/data/addresses.mmdb")[..], cities());
}
