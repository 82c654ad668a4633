//! A place on earth: how events write it, and how far it is to another.

use std::fmt;

use crate::event::{Number, Scalar};
use crate::state::codec::{Broken, Reader};

/// The earth's mean radius in km.
const RADIUS_KM: f64 = 6_371.0;

/// Half the way around the earth in km: nothing is farther away.
pub(in crate::detectors) const FARTHEST_KM: f64 = RADIUS_KM * std::f64::consts::PI;

/// Latitude and longitude in degrees, always some on earth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::detectors) struct Place {
    latitude: f64,
    longitude: f64,
}

impl Place {
    /// Reads what ECS (Elasticsearch's `geo_point`) lets a place be: `{"lat": …, "lon": …}`, which
    /// arrives as two fields; the texts `"lat,lon"` and `"POINT (lon lat)"`; the array `[lon, lat]`.
    /// Of several places the first counts.
    pub(in crate::detectors) fn read(
        location: &[Scalar],
        lat: &[Scalar],
        lon: &[Scalar],
    ) -> Option<Self> {
        let number = |value: &Scalar| value.as_number().map(Number::as_f64);
        match location {
            [Scalar::Text(text), ..] if number(&Scalar::Text(text.clone())).is_none() => {
                Self::of_text(text)
            }
            [longitude, latitude, ..] => Self::new(number(latitude)?, number(longitude)?),
            [_] => None,
            [] => Self::new(number(lat.first()?)?, number(lon.first()?)?),
        }
    }

    fn of_text(text: &str) -> Option<Self> {
        let degrees = |text: &str| text.trim().parse::<f64>().ok();
        if let Some((latitude, longitude)) = text.split_once(',') {
            return Self::new(degrees(latitude)?, degrees(longitude)?);
        }
        let text = text.trim();
        let (kind, point) = text.split_at_checked("POINT".len())?;
        let point = point.trim_start().strip_prefix('(')?.strip_suffix(')')?;
        let mut words = point.split_whitespace();
        let (longitude, latitude) = (words.next()?, words.next()?);
        let is_point = kind.eq_ignore_ascii_case("POINT") && words.next().is_none();
        Self::new(degrees(latitude)?, degrees(longitude)?).filter(|_| is_point)
    }

    /// `None` for what is nowhere on earth.
    fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let on_earth = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        on_earth.then_some(Self { latitude, longitude })
    }

    /// The way along the great circle, by the haversine formula: exact enough near and far.
    pub(in crate::detectors) fn kilometres_to(self, other: Self) -> f64 {
        let half_square = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
        let across = self.latitude.to_radians().cos() * other.latitude.to_radians().cos();
        let chord = half_square(self.latitude, other.latitude)
            + across * half_square(self.longitude, other.longitude);
        2.0 * RADIUS_KM * chord.clamp(0.0, 1.0).sqrt().asin()
    }

    /// Appends what [`Self::decode`] reads.
    pub(in crate::detectors) fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.latitude.to_le_bytes());
        out.extend_from_slice(&self.longitude.to_le_bytes());
    }

    /// Reads what was written.
    pub(in crate::detectors) fn decode(bytes: &mut Reader<'_>) -> Result<Self, Broken> {
        let (latitude, longitude) = (bytes.fixed()?, bytes.fixed()?);
        let place = Self::new(f64::from_bits(latitude), f64::from_bits(longitude));
        place.ok_or(Broken("a place on earth"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.latitude, self.longitude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: Place = Place { latitude: 52.52, longitude: 13.405 };
    const NEW_YORK: Place = Place { latitude: 40.7128, longitude: -74.006 };

    fn values(json: serde_json::Value) -> Vec<Scalar> {
        match json {
            serde_json::Value::Array(values) => {
                values.iter().filter_map(Scalar::from_json).collect()
            }
            one => Scalar::from_json(&one).into_iter().collect(),
        }
    }

    fn located(json: serde_json::Value) -> Option<Place> {
        Place::read(&values(json), &[], &[])
    }

    #[test]
    fn every_form_of_ecs_is_read() {
        use serde_json::json;
        for form in [
            json!("52.52,13.405"),
            json!(" 52.52 , 13.405 "),
            json!("POINT (13.405 52.52)"),
            json!("point(13.405   52.52)"),
            json!([13.405, 52.52]),
            json!(["13.405", "52.52"]),
            json!([13.405, 52.52, 34.0]),
            json!(["52.52,13.405", "0,0"]),
        ] {
            assert_eq!(located(form.clone()), Some(BERLIN), "{form}");
        }
        let (lat, lon) = ([Scalar::Number(Number::Float(52.52))], ["13.405".into()]);
        assert_eq!(Place::read(&[], &lat, &lon), Some(BERLIN));
        // The edges of the map are on it.
        for form in [json!("90,180"), json!("-90,-180"), json!([0, 0])] {
            assert!(located(form.clone()).is_some(), "{form}");
        }
    }

    #[test]
    fn what_is_nowhere_on_earth_is_no_place() {
        use serde_json::json;
        for form in [
            json!([]),
            json!(""),
            json!("Berlin"),
            json!("u33dc0"),
            json!(52.52),
            json!("90.001,0"),
            json!("0,-180.001"),
            json!([0, 91]),
            json!("NaN,0"),
            json!("inf,0"),
            json!("1,2,3"),
            json!("POINT (13.405)"),
            json!("POINT (1 2 3)"),
            json!("POINT 1 2"),
            json!("PLACE (1 2)"),
            json!([true, 1]),
            json!(["x", 1]),
        ] {
            assert_eq!(located(form.clone()), None, "{form}");
        }
        let one = [Scalar::from(1)];
        assert_eq!(Place::read(&[], &one, &[]), None);
        assert_eq!(Place::read(&[], &[], &one), None);
        assert_eq!(Place::read(&[], &[Scalar::from(91)], &one), None);
    }

    #[test]
    fn distances_are_those_of_the_great_circle() {
        let whole = |from: Place, to: Place| format!("{:.1}", from.kilometres_to(to));
        let place = |latitude, longitude| Place { latitude, longitude };
        assert_eq!(whole(BERLIN, NEW_YORK), "6385.0");
        assert_eq!(whole(NEW_YORK, BERLIN), "6385.0");
        assert_eq!(whole(BERLIN, BERLIN), "0.0");
        // A degree along the equator, across the line where the date changes, over a pole.
        assert_eq!(whole(place(0.0, 179.5), place(0.0, -179.5)), "111.2");
        assert_eq!(whole(place(89.5, 0.0), place(89.5, 180.0)), "111.2");
        assert_eq!(whole(place(0.0, 0.0), place(0.0, 180.0)), "20015.1");
        assert_eq!(whole(place(90.0, 0.0), place(-90.0, 0.0)), "20015.1");
        assert!(place(0.0, 0.0).kilometres_to(place(0.0, 180.0)) <= FARTHEST_KM);
    }
}
