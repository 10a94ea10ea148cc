//! What happens to a template, stage by stage. Nothing here is random: chance has spoken before, in a [`Draw`].

/// Classes, and so templates.
pub(super) const CLASSES: usize = TEMPLATES.len();

/// Points of a finished signal.
pub(super) const POINTS: usize = 40;

/// Points that a signal may be moved by: fewer than so many.
pub(super) const SHIFTS: usize = 48;

/// Points of a template.
const TEMPLATE: usize = 12;

/// The fewest and the most zeros after a template.
const PADDING: (usize, usize) = (36, 60);

/// Points of a padded signal, once it is stretched.
pub(super) const STRETCHED: usize = TEMPLATE + PADDING.1;

const SCALE: f64 = 0.4;
const SHEAR: f64 = 0.75;
const CORRELATED: f64 = 0.25;
const INDEPENDENT: f64 = 0.02;

/// Tells a point of the template from padding, which is exactly 0.
const EPSILON: f64 = 1e-8;

/// How the digits are drawn, from top to bottom.
const TEMPLATES: [[f64; TEMPLATE]; 10] = [
    [5.0, 6.0, 6.5, 6.75, 7.0, 7.0, 7.0, 7.0, 6.75, 6.5, 6.0, 5.0],
    [5.0, 3.0, 3.0, 3.4, 3.8, 4.2, 4.6, 5.0, 5.4, 5.8, 5.0, 5.0],
    [5.0, 6.0, 6.5, 6.5, 6.0, 5.25, 4.75, 4.0, 3.5, 3.5, 4.0, 5.0],
    [5.0, 6.0, 6.5, 6.5, 6.0, 5.0, 5.0, 6.0, 6.5, 6.5, 6.0, 5.0],
    [5.0, 4.4, 3.8, 3.2, 2.6, 2.6, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0],
    [5.0, 3.0, 3.0, 3.0, 3.0, 5.0, 6.0, 6.5, 6.5, 6.0, 4.5, 5.0],
    [5.0, 4.0, 3.5, 3.25, 3.0, 3.0, 3.0, 3.0, 3.25, 3.5, 4.0, 5.0],
    [5.0, 7.0, 7.0, 6.6, 6.2, 5.8, 5.4, 5.0, 4.6, 4.2, 5.0, 5.0],
    [5.0, 4.0, 3.5, 3.5, 4.0, 5.0, 5.0, 4.0, 3.5, 3.5, 4.0, 5.0],
    [5.0, 4.0, 3.5, 3.5, 4.0, 5.0, 5.0, 5.0, 5.0, 4.7, 4.3, 5.0],
];

/// What chance decides of a sample, in the order of the reference: numbers in [0, 1), a number of points, normal noise.
pub(super) struct Draw {
    pub(super) padding: f64,
    pub(super) scale: f64,
    pub(super) shift: usize,
    pub(super) correlated: [f64; STRETCHED],
    pub(super) independent: [f64; STRETCHED],
    pub(super) shear: f64,
}

/// A sample of a class.
pub(super) fn signal(class: usize, draw: &Draw) -> Vec<f64> {
    let template = template(class).map(|x| x + EPSILON);
    let mut x = interpolate(&pad(&template, draw.padding), STRETCHED);
    x.iter_mut().for_each(|x| *x *= 1.0 + SCALE * (draw.scale - 0.5));
    x.rotate_right(draw.shift);
    let noise = smooth(&draw.correlated.map(|noise| CORRELATED * noise));
    for ((x, noise), independent) in x.iter_mut().zip(noise).zip(draw.independent) {
        if *x == 0.0 {
            *x = noise;
        }
        *x += INDEPENDENT * independent;
    }
    interpolate(&shear(&x, draw.shear), POINTS)
}

/// The template of a class: it begins at 0, and has deviation 1/6.
pub(super) fn template(class: usize) -> [f64; TEMPLATE] {
    let x = TEMPLATES[class];
    let mean = x.iter().sum::<f64>() / TEMPLATE as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / TEMPLATE as f64;
    x.map(|point| (point - x[0]) / (6.0 * variance.sqrt()))
}

/// Zeros behind it, from 36 to 60 of them as `chance` goes from 0 to 1.
pub(super) fn pad(x: &[f64], chance: f64) -> Vec<f64> {
    let (low, high) = PADDING;
    let zeros = low + (chance * (high - low + 1) as f64) as usize;
    [x, &vec![0.0; zeros]].concat()
}

/// As many points as asked for, at equal distances from its first to its last, on straight lines between its own.
pub(super) fn interpolate(x: &[f64], points: usize) -> Vec<f64> {
    let at = |point: usize| {
        // In whole numbers, so that a point that falls on one of `x` is that, and zeros stay 0.
        let place = point * (x.len() - 1);
        let (index, rest) = (place / (points - 1), place % (points - 1));
        let next = x[(index + 1).min(x.len() - 1)];
        x[index] + (next - x[index]) * rest as f64 / (points - 1) as f64
    };
    (0..points).map(at).collect()
}

/// A normal curve of deviation 2 over the points, out to four deviations, with the signal mirrored at its ends.
pub(super) fn smooth(x: &[f64]) -> Vec<f64> {
    const DEVIATION: f64 = 2.0;
    const RADIUS: usize = 8;
    let weight = |distance: usize| (-0.5 * (distance as f64 / DEVIATION).powi(2)).exp();
    let total: f64 = weight(0) + 2.0 * (1..=RADIUS).map(weight).sum::<f64>();
    let last = x.len() - 1;
    // The mirror stands behind the first point and the last: both come twice.
    let before = |index: usize, distance: usize| {
        if distance <= index { index - distance } else { distance - index - 1 }
    };
    let after = |index: usize, distance: usize| last - before(last - index, distance);
    let at = |index: usize| {
        let pairs = (1..=RADIUS)
            .map(|distance| weight(distance) * (x[before(index, distance)] + x[after(index, distance)]));
        (weight(0) * x[index] + pairs.sum::<f64>()) / total
    };
    (0..x.len()).map(at).collect()
}

/// Less a straight line through 0 in the middle, of the slope that `chance` in [0, 1) gives.
pub(super) fn shear(x: &[f64], chance: f64) -> Vec<f64> {
    let slope = SHEAR * (chance - 0.5);
    let place = |index: usize| index as f64 / (x.len() - 1) as f64 - 0.5;
    x.iter().enumerate().map(|(index, x)| x - slope * place(index)).collect()
}
