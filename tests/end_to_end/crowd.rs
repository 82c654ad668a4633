//! Hours in the life of the people who use the five products, and of some who should not: the same
//! for the same seed, as many records as asked for.

use std::ops::Range;

use crate::recount::{HOUR, MINUTE};
use crate::traffic::{Act, Deed, Line, PRODUCTS, Product};

/// People of each product.
const PEOPLE: u64 = 400;

/// Makes records; every record of a run is numbered by it.
pub(crate) struct Crowd {
    random: u64,
    number: usize,
    lines: Vec<Line>,
}

/// The hours that a test is about.
pub(crate) struct Hours {
    /// Where the stream's clock stands when the test looks.
    pub(crate) now: i64,
    /// What is there before Hark starts.
    pub(crate) past: Range<i64>,
    /// What comes while it runs: so short ago that none of it can be late.
    pub(crate) live: Range<i64>,
    /// The past but the first half hour and the last two hours. What those who logged in at night are
    /// told of is over by now in the first case, and still open in the second.
    pub(crate) business: Range<i64>,
}

impl Hours {
    pub(crate) fn until(now: i64) -> Self {
        let business = now - 17 * HOUR / 2..now - 2 * HOUR;
        let business = business.start / MINUTE * MINUTE..business.end / MINUTE * MINUTE;
        let (past, live) = (now - 9 * HOUR..now - 6 * MINUTE, now - 5 * MINUTE..now);
        Self { now, past, live, business }
    }
}

impl Crowd {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: seed, number: 0, lines: Vec::new() }
    }

    /// A number below `below`, by splitmix64.
    fn below(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn within(&mut self, span: &Range<i64>) -> i64 {
        span.start + i64::try_from(self.below((span.end - span.start).unsigned_abs())).unwrap()
    }

    fn act(&mut self, product: Product, deed: Deed, who: &str, address: &str, time: i64) {
        self.number += 1;
        // One rule counts all deletions in OpsSentinal, whoever's they are.
        let everybodys = product == Product::OpsSentinal
            && matches!(deed, Deed::DeletesService | Deed::DeletesSomething);
        let key = if everybodys { "deletions" } else { address };
        let act = Act { product, deed, who, address, time, number: self.number };
        self.lines.extend(act.line(key));
    }

    /// Everything made so far, in order of time.
    pub(crate) fn take(&mut self) -> Vec<Line> {
        let mut lines = std::mem::take(&mut self.lines);
        lines.sort_by_key(|line| line.time);
        lines
    }

    /// Until there are `count` records: people at their work. One in two hundred fails to log in, a
    /// few roles change, a few things are deleted. After hours nobody logs in.
    pub(crate) fn work(&mut self, count: usize, hours: &Hours, span: &Range<i64>) {
        while self.lines.len() < count {
            let product = PRODUCTS[usize::try_from(self.below(5)).unwrap()];
            let person = self.below(PEOPLE);
            let time = self.within(span);
            let deed = match self.below(10_000) {
                0..5 => Deed::ChangesRole,
                5..8 => Deed::DeletesService,
                8..10 => Deed::RevokesAllSessions,
                10..40 => Deed::DeletesSomething,
                40..90 => Deed::FailedLogin,
                90..1000 if hours.business.contains(&time) => Deed::Login,
                _ => Deed::Routine,
            };
            let address = format!("10.{}.{}.{}", product as usize, person / 250, person % 250);
            self.act(product, deed, &format!("person{person}"), &address, time);
        }
    }

    /// So many attacks of each kind. None ends where it would be a matter of luck whether its alert
    /// is over when the test looks.
    pub(crate) fn attacks(&mut self, of_each: usize, hours: &Hours) {
        let over = hours.past.start..hours.now - 90 * MINUTE;
        let open = hours.now - 45 * MINUTE..hours.now - 15 * MINUTE;
        for n in 0..of_each {
            for (kind, product) in (0_u8..).zip(PRODUCTS) {
                let span = if n % 3 == 2 { &open } else { &over };
                let time = self.within(span);
                let address = format!("203.0.{}.{n}", 10 + kind);
                self.attack(product, &address, time, 5000);
                let night = if n % 3 == 2 {
                    hours.now - 90 * MINUTE..hours.now - 30 * MINUTE
                } else {
                    hours.past.start..hours.business.start
                };
                let time = self.within(&night);
                let address = format!("198.51.{}.{n}", 10 + kind);
                self.act(product, Deed::Login, &format!("owl{n}"), &address, time);
                self.act(product, Deed::Login, &format!("owl{n}"), &address, time + 1000);
            }
        }
    }

    /// What happens while Hark runs, in order of time: attacks on every product amid the work.
    pub(crate) fn live(&mut self, count: usize, attacks: usize, hours: &Hours) -> Vec<Line> {
        for n in 0..attacks {
            for (kind, product) in (0_u8..).zip(PRODUCTS) {
                let begin = hours.live.start + i64::try_from(self.below(60_000)).unwrap();
                self.attack(product, &format!("192.0.{}.{n}", 10 + kind), begin, 1000);
            }
        }
        self.work(count, hours, &hours.live);
        self.take()
    }

    /// From one address: an account is guessed at, with pauses of milliseconds up to a bound, many
    /// accounts are tried, and in the end things are deleted.
    pub(crate) fn attack(&mut self, product: Product, address: &str, begin: i64, pause_max: u64) {
        let name = address.replace('.', "-");
        let tries = 5 + self.below(12) + if self.below(8) == 0 { 60 } else { 0 };
        let mut time = begin;
        for n in 0..tries {
            time += 500 + i64::try_from(self.below(pause_max)).unwrap();
            let deed = if n % 7 == 6 { Deed::BlockedLogin } else { Deed::FailedLogin };
            self.act(product, deed, &format!("guessed{name}"), address, time);
        }
        for n in 0..self.below(14) {
            time += 1000;
            self.act(product, Deed::FailedLogin, &format!("sprayed{name}-{n}"), address, time);
        }
        for _ in 0..6 + self.below(14) {
            time += 2000;
            self.act(product, Deed::DeletesSomething, &format!("thief{name}"), address, time);
        }
    }
}
