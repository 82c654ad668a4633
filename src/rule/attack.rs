//! The techniques of MITRE ATT&CK Enterprise, as far as the release that is built in knows them.

/// The release of [`find`]'s table.
pub const VERSION: &str = "18.1";

/// Id, name and what became of it, one a line; the file's head has source and licence.
const TABLE: &str = include_str!("attack.tsv");

/// A technique or sub-technique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Technique {
    /// Such as `T1110.003`.
    pub id: &'static str,
    /// What ATT&CK calls it.
    pub name: &'static str,
    /// Whether it is still in use.
    pub standing: Standing,
}

/// What became of a technique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In use.
    Current,
    /// Given up without another in its place.
    Deprecated,
    /// Given up for this one.
    Revoked(&'static str),
}

/// All techniques, in order of their ids.
pub fn techniques() -> impl Iterator<Item = Technique> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut columns = line.split('\t');
        let (id, name) = (columns.next()?, columns.next()?);
        let standing = match columns.next() {
            None => Standing::Current,
            Some(became) => match became.split_once(' ') {
                Some((_, instead)) => Standing::Revoked(instead),
                None => Standing::Deprecated,
            },
        };
        Some(Technique { id, name, standing })
    })
}

/// The technique of an id.
pub fn find(id: &str) -> Option<Technique> {
    techniques().find(|technique| technique.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_in_order() {
        let all: Vec<Technique> = techniques().collect();
        assert!(all.is_sorted_by(|a, b| a.id < b.id));
        let current = all.iter().filter(|t| t.standing == Standing::Current);
        let (subs, techniques): (Vec<&Technique>, Vec<&Technique>) =
            current.partition(|t| t.id.contains('.'));
        // What MITRE says of 18.1: 216 techniques, 475 sub-techniques.
        assert_eq!((techniques.len(), subs.len()), (216, 475));
        for sub in subs {
            let (parent, _) = sub.id.split_once('.').unwrap();
            assert_eq!(find(parent).unwrap().standing, Standing::Current, "{}", sub.id);
        }
    }

    #[test]
    fn who_revokes_a_technique_names_one_in_use() {
        let mut revoked = 0;
        for technique in techniques() {
            assert!(!technique.name.is_empty());
            if let Standing::Revoked(instead) = technique.standing {
                assert_eq!(find(instead).unwrap().standing, Standing::Current, "{}", technique.id);
                revoked += 1;
            }
        }
        assert!(revoked > 100);
        assert_eq!(find("T1086").unwrap().standing, Standing::Revoked("T1059.001"));
        assert_eq!(find("T1110.003").unwrap().name, "Password Spraying");
        assert_eq!(find("T9999"), None);
    }
}
