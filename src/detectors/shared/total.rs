//! Sums and means that do not drift: however many numbers come and go, what is told is the exact
//! result, rounded once.
//!
//! Integers are summed as they are. Floats are summed in fixed point, wide enough for the smallest and
//! the largest of them (the idea of Kulisch's accumulator), so that adding and taking away again leaves
//! no trace, in any order. A running sum of floats would drift away from a recount; a recount for
//! every event would cost the whole window.

use crate::event::Number;

/// Digits of 32 bits: from 2⁻¹⁰⁷⁴ to 2¹⁰²⁴ there are 2,098 bits, and above them is room for carries.
const DIGITS: usize = 68;

/// Where the bit of value 1 stands.
const ONE: usize = 1074;

/// Digits below the smallest float that a quotient gets, so that it is rounded once.
const FRACTION: usize = 2;

/// So many numbers may be added before the digits must pass their carries on.
const CARRY_EVERY: u32 = 1 << 30;

/// Numbers that were added and not taken away.
#[derive(Debug, Clone, Default)]
pub(in crate::detectors) struct Total {
    integers: i128,
    /// There while any of the numbers is no integer.
    floats: Option<Box<Wide>>,
}

/// A sum of floats in fixed point.
#[derive(Debug, Clone)]
struct Wide {
    /// The lowest first; each may hold more than its 32 bits, of either sign.
    digits: [i64; DIGITS],
    /// How many of the numbers are still in it.
    held: usize,
    /// Changes since the carries were passed on.
    pending: u32,
}

impl Total {
    /// Adds a number.
    pub(in crate::detectors) fn add(&mut self, number: Number) {
        match integer(number) {
            Ok(integer) => self.integers += integer,
            Err(float) => {
                let wide = self.floats.get_or_insert_default();
                wide.add_float(float);
                wide.held += 1;
            }
        }
    }

    /// Takes away a number that was added before.
    pub(in crate::detectors) fn remove(&mut self, number: Number) {
        match integer(number) {
            Ok(integer) => self.integers -= integer,
            Err(float) => {
                let Some(wide) = &mut self.floats else { return };
                wide.add_float(-float);
                wide.held = wide.held.saturating_sub(1);
                if wide.held == 0 {
                    self.floats = None;
                }
            }
        }
    }

    /// The sum: an integer if it is exactly one of 64 bits, else the nearest float.
    pub(in crate::detectors) fn sum(&self) -> Number {
        self.over(1)
    }

    /// The mean of `count` numbers: an integer if it is exactly one of 64 bits, else the nearest float.
    pub(in crate::detectors) fn mean(&self, count: u32) -> Number {
        self.over(count.max(1))
    }

    fn over(&self, count: u32) -> Number {
        if self.floats.is_none()
            && count == 1
            && let Ok(int) = i64::try_from(self.integers)
        {
            return Number::Int(int);
        }
        let mut wide = self.floats.as_deref().cloned().unwrap_or_default();
        let (low, high) = halves(self.integers.unsigned_abs());
        wide.add(low, ONE, self.integers < 0);
        wide.add(high, ONE + 64, self.integers < 0);
        wide.divided(count)
    }
}

impl Default for Wide {
    fn default() -> Self {
        Self { digits: [0; DIGITS], held: 0, pending: 0 }
    }
}

impl Wide {
    fn add_float(&mut self, float: f64) {
        let bits = float.to_bits();
        let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
        // Below the smallest normal number the exponent stands still and the leading 1 is missing.
        let (lead, shift) = if exponent == 0 { (0, 0) } else { (1 << 52, exponent - 1) };
        let shift = usize::try_from(shift).unwrap_or_default();
        self.add(lead | fraction, shift, float.is_sign_negative());
    }

    /// Adds `magnitude` × 2^(`shift` − 1074), or takes it away.
    fn add(&mut self, magnitude: u64, shift: usize, negative: bool) {
        let mut rest = u128::from(magnitude) << (shift % 32);
        for digit in self.digits.iter_mut().skip(shift / 32).take(4) {
            let part = i64::try_from(rest & 0xffff_ffff).unwrap_or_default();
            *digit += if negative { -part } else { part };
            rest >>= 32;
        }
        self.pending += 1;
        if self.pending >= CARRY_EVERY {
            self.carry();
        }
    }

    /// Leaves 32 bits in every digit; the sign stays in the last.
    fn carry(&mut self) {
        let mut carried = 0;
        for (at, digit) in self.digits.iter_mut().enumerate() {
            *digit += carried;
            if at + 1 < DIGITS {
                carried = *digit >> 32;
                *digit &= 0xffff_ffff;
            }
        }
        self.pending = 0;
    }

    /// The sum divided by `count`.
    fn divided(mut self, count: u32) -> Number {
        self.carry();
        let negative = self.digits.last().is_some_and(|digit| *digit < 0);
        if negative {
            for digit in &mut self.digits {
                *digit = -*digit;
            }
            self.carry();
        }
        // By hand, from the highest digit down; the quotient goes on below the smallest float.
        let mut quotient = [0_u32; DIGITS + FRACTION];
        let digits = std::iter::repeat_n(&0, FRACTION).chain(&self.digits);
        let mut remainder = 0_u64;
        let all: Vec<&i64> = digits.collect();
        for (digit, out) in all.into_iter().zip(&mut quotient).rev() {
            let part = (remainder << 32) | u64::try_from(*digit).unwrap_or_default();
            *out = u32::try_from(part / u64::from(count)).unwrap_or(u32::MAX);
            remainder = part % u64::from(count);
        }
        Quotient { digits: quotient, inexact: remainder != 0 }.number(negative)
    }
}

/// What a division left, from 2⁻¹⁰⁷⁴ and [`FRACTION`] digits below it.
struct Quotient {
    digits: [u32; DIGITS + FRACTION],
    /// There is more below the last digit.
    inexact: bool,
}

impl Quotient {
    fn bit(&self, at: usize) -> bool {
        self.digits.get(at / 32).is_some_and(|digit| (digit >> (at % 32)) & 1 != 0)
    }

    /// The bits from `from` on, as many as a number of 64 bits has room for.
    fn bits(&self, from: usize) -> u64 {
        (0..64).fold(0, |bits, at| bits | (u64::from(self.bit(from + at)) << at))
    }

    /// Whether a bit below `end` is set.
    fn has_below(&self, end: usize) -> bool {
        let whole = self.digits.iter().take(end / 32).any(|digit| *digit != 0);
        whole || (end / 32 * 32..end).any(|at| self.bit(at)) || self.inexact
    }

    /// Rounded to the nearest float, ties to the even one, unless it is an integer.
    fn number(&self, negative: bool) -> Number {
        let all = self.digits.len() * 32;
        let Some(high) = (0..all).rev().find(|at| self.bit(*at)) else {
            return if self.inexact { Number::Float(0.0) } else { Number::Int(0) };
        };
        let (smallest, one) = (FRACTION * 32, FRACTION * 32 + ONE);
        if high < one + 64 && high >= one && !self.has_below(one) {
            let whole = i128::from(self.bits(one));
            let whole = if negative { -whole } else { whole };
            if let Ok(int) = i64::try_from(whole) {
                return Number::Int(int);
            } else if let Ok(large) = u64::try_from(whole) {
                return Number::Large(large);
            }
        }
        let low = high.saturating_sub(52).max(smallest);
        let mut mantissa = self.bits(low) & ((1 << 53) - 1);
        if self.bit(low - 1) && (mantissa & 1 != 0 || self.has_below(low - 1)) {
            mantissa += 1;
        }
        Number::Float(float(mantissa, low - smallest, negative))
    }
}

/// `mantissa` (at most 2⁵³) × 2^(`shift` − 1074); beyond the largest float it is that one.
fn float(mantissa: u64, shift: usize, negative: bool) -> f64 {
    let (mantissa, shift) =
        if mantissa >> 53 != 0 { (mantissa >> 1, shift + 1) } else { (mantissa, shift) };
    let exponent = if mantissa >> 52 == 0 { 0 } else { shift as u64 + 1 };
    let size = if exponent >= 0x7ff {
        f64::MAX
    } else {
        f64::from_bits((exponent << 52) | (mantissa & ((1 << 52) - 1)))
    };
    if negative { -size } else { size }
}

/// The integer of 64 bits that a number is, or the float.
fn integer(number: Number) -> Result<i128, f64> {
    match number {
        Number::Int(int) => Ok(int.into()),
        Number::Large(large) => Ok(large.into()),
        Number::Float(float) => Err(float),
    }
}

fn halves(number: u128) -> (u64, u64) {
    let low = u64::try_from(number & u128::from(u64::MAX)).unwrap_or_default();
    (low, u64::try_from(number >> 64).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn total(numbers: &[Number]) -> Total {
        let mut total = Total::default();
        for number in numbers {
            total.add(*number);
        }
        total
    }

    fn floats(floats: &[f64]) -> Total {
        total(&floats.iter().map(|float| Number::Float(*float)).collect::<Vec<_>>())
    }

    #[test]
    fn integers_are_exact_beyond_what_a_float_can_hold() {
        let max = Number::Large(u64::MAX);
        assert_eq!(total(&[Number::Int(i64::MAX), Number::Int(1)]).sum(), Number::Large(1 << 63));
        assert_eq!(total(&[max, Number::Int(-1)]).sum(), Number::Large(u64::MAX - 1));
        assert_eq!(
            total(&[Number::Int(i64::MIN), Number::Int(-1)]).sum(),
            Number::Float(-(2f64.powi(63)))
        );
        assert_eq!(total(&[max, max]).mean(2), max);
        assert_eq!(total(&[max, max, Number::Float(0.5)]).sum(), Number::Float(2f64.powi(65)));
        assert_eq!(total(&[Number::Int(-7), Number::Int(2)]).mean(2), Number::Float(-2.5));
        assert_eq!(total(&[Number::Int(-7), Number::Int(3)]).mean(2), Number::Int(-2));
        assert_eq!(Total::default().sum(), Number::Int(0));
    }

    #[test]
    fn what_cancels_leaves_nothing_and_what_was_small_is_still_there() {
        assert_eq!(floats(&[1e308, 1.5, -1e308]).sum(), Number::Float(1.5));
        assert_eq!(floats(&[1e308, 5e-324, -1e308]).sum(), Number::Float(5e-324));
        assert_eq!(floats(&[0.5, 0.25, 0.25]).sum(), Number::Int(1));
        assert_eq!(floats(&[0.5, -0.5]).sum(), Number::Int(0));
        assert_eq!(floats(&[f64::MAX, f64::MAX]).sum(), Number::Float(f64::MAX));
        assert_eq!(floats(&[f64::MAX, f64::MAX]).mean(2), Number::Float(f64::MAX));
        assert_eq!(floats(&[-f64::MAX, -f64::MAX]).sum(), Number::Float(-f64::MAX));
    }

    #[test]
    fn the_mean_of_equal_numbers_is_that_number() {
        for float in [0.1, 1e-310, 5e-324, f64::MIN_POSITIVE, 1.0 / 3.0, -123.456, 1e300] {
            for count in [1, 2, 3, 7, 49, 1000] {
                let mean = floats(&vec![float; count]).mean(u32::try_from(count).unwrap());
                assert_eq!(mean, Number::Float(float), "{count}");
            }
        }
    }

    #[test]
    fn ties_go_to_the_even_one_and_the_least_remainder_decides_them() {
        let tie = 2f64.powi(-53);
        assert_eq!(floats(&[1.0, tie]).sum(), Number::Float(1.0));
        assert_eq!(floats(&[1.0, tie, 5e-324]).sum(), Number::Float(1.0 + f64::EPSILON));
        assert_eq!(
            floats(&[1.0 + f64::EPSILON, tie]).sum(),
            Number::Float(1.0 + 2.0 * f64::EPSILON)
        );
        assert_eq!(floats(&[5e-324]).mean(2), Number::Float(0.0));
        assert_eq!(floats(&[5e-324, 5e-324, 5e-324]).mean(2), Number::Float(1e-323));
        assert_eq!(floats(&[1.0, 0.5]).mean(3), Number::Float(0.5));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Numbers with twenty binary places can be counted in whole ones.
        #[test]
        fn sums_and_means_are_the_nearest_to_the_exact_ones(
            parts in prop::collection::vec(-(1i64 << 50)..(1i64 << 50), 1..40),
            removed in prop::collection::vec(any::<f64>().prop_filter("finite", |f| f.is_finite()), 0..20),
        ) {
            let scale = 2f64.powi(20);
            let mut total = Total::default();
            for float in &removed {
                total.add(Number::Float(*float));
            }
            for part in &parts {
                #[expect(clippy::cast_precision_loss, reason = "51 bits")]
                total.add(Number::Float(*part as f64 / scale));
            }
            for float in removed.iter().rev() {
                total.remove(Number::Float(*float));
            }
            let exact: i128 = parts.iter().map(|part| i128::from(*part)).sum();
            // Rust rounds an integer to the nearest float, ties to even; the scale is a power of two.
            #[expect(clippy::cast_precision_loss, reason = "that is what is compared")]
            let nearest = exact as f64 / scale;
            prop_assert_eq!(total.sum().as_f64().to_bits(), nearest.to_bits());

            let count = u32::try_from(parts.len()).unwrap();
            let mean = total.mean(count).as_f64();
            // The error, in 2⁻¹²⁰ of the mean's own step, is no larger than that of its neighbours.
            let error = |float: f64| {
                let other = floats(&[float; 64][..parts.len()]);
                let mut difference = total.clone();
                difference.integers -= other.integers;
                let mut wide = difference.floats.take().map(|wide| *wide).unwrap_or_default();
                for (digit, minus) in wide.digits.iter_mut().zip(other.floats.unwrap().digits) {
                    *digit -= minus;
                }
                difference.floats = Some(Box::new(wide));
                difference.sum().as_f64().abs()
            };
            prop_assert!(error(mean) <= error(mean.next_up()), "{} is nearer", mean.next_up());
            prop_assert!(error(mean) <= error(mean.next_down()), "{} is nearer", mean.next_down());
        }
    }
}
