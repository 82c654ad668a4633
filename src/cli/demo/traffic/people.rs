//! The cast: who works at the demo's company, and the seeded chance that moves them.

/// A small generator of pseudo-random numbers (SplitMix64): the same seed gives the same day.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True `per_cent` times of a hundred.
    pub(super) fn happens(&mut self, per_cent: u64) -> bool {
        self.below(100) < per_cent
    }

    /// One of `these`, which must not be empty.
    #[expect(clippy::indexing_slicing, reason = "the index is below the length")]
    pub(super) fn pick<'a, T>(&mut self, these: &'a [T]) -> &'a T {
        assert!(!these.is_empty(), "nothing to pick from");
        let index = self.below(these.len() as u64);
        &these[usize::try_from(index).unwrap_or(0)]
    }

    /// Lower-case letters and digits, as products make their ids.
    pub(super) fn id(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(*self.pick(b"abcdefghijkmnpqrstuvwxyz23456789"))).collect()
    }
}

/// Somebody (or some machine) with an account in every product.
#[derive(Debug, Clone)]
pub(super) struct Person {
    /// What products without e-mail addresses call them.
    pub(super) name: String,
    /// As people write it.
    pub(super) full_name: String,
    pub(super) email: String,
    pub(super) id: String,
    /// Where they work from.
    pub(super) ip: String,
    pub(super) agent: &'static str,
}

const FIRST: &[&str] = &[
    "Aiko", "Ana", "Arjun", "Bilal", "Carmen", "Chidi", "Dana", "Elif", "Emeka", "Fatima", "Greta",
    "Hana", "Ivan", "Jonas", "Kofi", "Lena", "Maria", "Noor", "Olga", "Pablo", "Priya", "Samir",
    "Tomas", "Wei",
];
const LAST: &[&str] =
    &["Adeyemi", "Berg", "Costa", "Demir", "Haddad", "Ito", "Kumar", "Novak", "Silva", "Zhou"];
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
];
const MACHINES: &[&str] =
    &["deploy-bot", "ci-runner", "terraform", "contract-scanner", "jira-sync", "oncall-sync"];

/// Everybody, in an order of their own.
#[derive(Debug)]
pub(super) struct People {
    /// Those who type passwords.
    pub(super) humans: Vec<Person>,
    /// Those who do most of the work.
    pub(super) machines: Vec<Person>,
    /// Where in `humans` the next one stands whose turn it is: see [`Self::next_in_turn`].
    turn: usize,
}

impl People {
    pub(super) fn new(chance: &mut Chance) -> Self {
        let mut humans = Vec::new();
        for (i, first) in FIRST.iter().enumerate() {
            for (j, last) in LAST.iter().enumerate() {
                let name = format!("{first}.{last}").to_lowercase();
                humans.push(Person {
                    email: format!("{name}@example.com"),
                    full_name: format!("{first} {last}"),
                    id: format!("usr_{}", chance.id(12)),
                    ip: format!("203.0.113.{}", 1 + (i * LAST.len() + j) % 254),
                    agent: chance.pick::<&str>(AGENTS),
                    name,
                });
            }
        }
        // Fisher-Yates, so that the ring of turns is no alphabet.
        for i in (1..humans.len()).rev() {
            let other = chance.below(i as u64 + 1);
            humans.swap(i, usize::try_from(other).unwrap_or(i));
        }
        let machines = MACHINES.iter().enumerate().map(|(i, name)| Person {
            name: (*name).to_owned(),
            full_name: (*name).to_owned(),
            email: format!("{name}@example.com"),
            id: format!("svc_{}", chance.id(12)),
            ip: format!("10.20.0.{}", 10 + i),
            agent: "python-requests/2.32.4",
        });
        Self { machines: machines.collect(), humans, turn: 0 }
    }

    /// Who is next: everybody once before anybody twice. What a rule would count against one
    /// person is handed out in turns, so that an honest day raises no alert.
    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the length")]
    pub(super) fn next_in_turn(&mut self) -> Person {
        assert!(!self.humans.is_empty(), "a company without people");
        self.turn = (self.turn + 1) % self.humans.len();
        self.humans[self.turn].clone()
    }
}
