//! Where on earth an address is, and whose: from a `MaxMind` database, in the words of ECS.
//!
//! A field is filled for an event that has an address and not the field itself: what a product says of
//! its own event stays. Not every address stands in the database, and not every entry has everything.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use maxminddb::Reader;
use serde::Deserialize;

use crate::event::{FieldName, Number, Scalar};

/// The address that is looked up.
pub(super) const ADDRESS: &str = "source.ip";

/// The fields that can be filled.
pub(super) const FIELDS: [&str; 12] = [
    "source.geo.location",
    "source.geo.city_name",
    "source.geo.country_iso_code",
    "source.geo.country_name",
    "source.geo.continent_code",
    "source.geo.continent_name",
    "source.geo.region_iso_code",
    "source.geo.region_name",
    "source.geo.postal_code",
    "source.geo.timezone",
    "source.as.number",
    "source.as.organization.name",
];

/// The fields, as names.
pub(super) fn fields() -> impl Iterator<Item = FieldName> {
    FIELDS.iter().map(|name| FieldName::from_keys(name.split('.')))
}

/// A database of addresses, whole in memory.
#[derive(Clone)]
pub(super) struct Geo(Arc<Reader<Vec<u8>>>);

/// What stands there for a network, of the databases City, Country and ASN; all of it may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    city: Named,
    country: Named,
    continent: Named,
    subdivisions: Vec<Named>,
    location: Location,
    postal: Postal,
    autonomous_system_number: Option<u32>,
    autonomous_system_organization: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    code: Option<String>,
    iso_code: Option<String>,
    names: Names,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names {
    en: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
    time_zone: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Postal {
    code: Option<String>,
}

impl Geo {
    /// From a file's bytes. The error says what is wrong with them.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, String> {
        let reader = Reader::from_source(bytes)
            .map_err(|error| format!("expected a MaxMind database (.mmdb): {error}"))?;
        Ok(Self(Arc::new(reader)))
    }

    /// The entry of an address; `None` when it has none, or is no address.
    pub(super) fn look_up(&self, address: &str) -> Option<Entry> {
        let address: IpAddr = address.trim().parse().ok()?;
        // An entry that cannot be read is as good as none: a file is checked when it is taken over.
        self.0.lookup(address.to_canonical()).ok()?.decode().ok()?
    }

    /// How many networks and parts of them it tells apart.
    pub(super) fn len(&self) -> usize {
        usize::try_from(self.0.metadata().node_count).unwrap_or(usize::MAX)
    }
}

impl Entry {
    /// What it has for one of [`FIELDS`].
    pub(super) fn value(&self, field: &str) -> Option<Scalar> {
        let region = self.subdivisions.first();
        let text = |text: &Option<String>| text.as_deref().map(Scalar::from);
        match field {
            "source.geo.location" => {
                let (lat, lon) = (self.location.latitude?, self.location.longitude?);
                Some(Scalar::from(format!("{lat},{lon}").as_str()))
            }
            "source.geo.city_name" => text(&self.city.names.en),
            "source.geo.country_iso_code" => text(&self.country.iso_code),
            "source.geo.country_name" => text(&self.country.names.en),
            "source.geo.continent_code" => text(&self.continent.code),
            "source.geo.continent_name" => text(&self.continent.names.en),
            "source.geo.region_iso_code" => {
                let (country, region) =
                    (self.country.iso_code.as_ref()?, region?.iso_code.as_ref()?);
                Some(Scalar::from(format!("{country}-{region}").as_str()))
            }
            "source.geo.region_name" => text(&region?.names.en),
            "source.geo.postal_code" => text(&self.postal.code),
            "source.geo.timezone" => text(&self.location.time_zone),
            "source.as.number" => {
                self.autonomous_system_number.map(|n| Scalar::Number(Number::Int(n.into())))
            }
            "source.as.organization.name" => text(&self.autonomous_system_organization),
            _ => None,
        }
    }
}

impl fmt::Debug for Geo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Geo").field(&self.0.metadata().database_type).finish()
    }
}

/// One is another when they are the same in memory.
impl PartialEq for Geo {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
