//! The discrete Fourier transform of a power of two of samples (Cooley and Tukey, "An algorithm for the machine calculation
//! of complex Fourier series", 1965), in plain IEEE arithmetic: its result is the same on every machine, which one that
//! chooses vector instructions at run time does not promise.

/// Power of each frequency from 0 to half the sampling rate. `samples` is filled up with zeros to a power of two.
pub fn power(samples: &[f64]) -> Vec<f64> {
    let n = samples.len().next_power_of_two().max(2);
    let mut re = vec![0.0; n];
    let mut im = vec![0.0; n];
    let bits = n.trailing_zeros();
    for (i, sample) in samples.iter().enumerate() {
        re[i.reverse_bits() >> (usize::BITS - bits)] = *sample;
    }
    let (cos, sin) = turns(n);
    let mut half = 1;
    while half < n {
        let stride = n / (2 * half);
        for start in (0..n).step_by(2 * half) {
            for k in 0..half {
                let (c, s) = (cos[k * stride], -sin[k * stride]);
                let (low, high) = (start + k, start + k + half);
                let (r, i) = (re[high] * c - im[high] * s, re[high] * s + im[high] * c);
                (re[high], im[high]) = (re[low] - r, im[low] - i);
                (re[low], im[low]) = (re[low] + r, im[low] + i);
            }
        }
        half *= 2;
    }
    (0..=n / 2).map(|k| re[k] * re[k] + im[k] * im[k]).collect()
}

/// Cosines and sines of 2 pi k / n for k below n / 2, by halving angles: square roots are exact to the last bit, `sin` is not.
fn turns(n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut cos = vec![1.0; n / 2];
    let mut sin = vec![0.0; n / 2];
    // A quarter turn first, then ever smaller ones; each angle is the sum of those its number's bits name.
    let (mut c, mut s, mut step) = (0.0f64, 1.0f64, n / 4);
    while step >= 1 {
        for k in (step..n / 2).step_by(2 * step) {
            let (c0, s0) = (cos[k - step], sin[k - step]);
            (cos[k], sin[k]) = (c0 * c - s0 * s, s0 * c + c0 * s);
        }
        let wide = ((1.0 + c) / 2.0).sqrt();
        (c, s, step) = (wide, s / (2.0 * wide), step / 2);
    }
    (cos, sin)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, term by term.
    fn naive(samples: &[f64], n: usize) -> Vec<f64> {
        let term = |k: usize, f: fn(f64) -> f64| -> f64 {
            samples.iter().enumerate().map(|(i, x)| x * f(std::f64::consts::TAU * (i * k % n) as f64 / n as f64)).sum()
        };
        (0..=n / 2).map(|k| term(k, f64::cos).powi(2) + term(k, f64::sin).powi(2)).collect()
    }

    proptest::proptest! {
        #[test]
        fn it_is_the_definition(samples in proptest::collection::vec(-1e3f64..1e3, 2..200)) {
            let fast = power(&samples);
            let slow = naive(&samples, samples.len().next_power_of_two());
            proptest::prop_assert_eq!(fast.len(), slow.len());
            let scale = slow.iter().copied().fold(1.0, f64::max);
            for (a, b) in fast.iter().zip(&slow) {
                proptest::prop_assert!((a - b).abs() <= 1e-12 * scale, "{a} {b}");
            }
        }
    }

    #[test]
    fn turns_are_cosines_and_sines() {
        let (cos, sin) = turns(4_096);
        for k in 0..2_048 {
            let angle = std::f64::consts::TAU * k as f64 / 4_096.0;
            assert!((cos[k] - angle.cos()).abs() < 1e-14 && (sin[k] - angle.sin()).abs() < 1e-14, "{k}");
        }
    }
}
