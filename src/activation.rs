//! What comes after a linear layer.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// The function applied to the outputs of a layer. As text it has the name of PyTorch's function: `relu`,
/// `leaky_relu(0.01)`, `gelu_tanh`.
///
/// Each of them is computed to a few units in the last place of the true function of its f32 argument, from the same
/// polynomials on every instruction set; see the variants for the exceptions. NaN stays NaN in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `x`.
    #[default]
    Identity,
    /// `max(x, 0)`; NaN stays NaN, as in PyTorch.
    Relu,
    /// `x` where it is not below 0, `slope · x` where it is (Maas, Hannun & Ng 2013). PyTorch's default slope is
    /// [`Activation::LEAKY_SLOPE`]; layers refuse one that is not finite.
    LeakyRelu(f32),
    /// The Gaussian error linear unit `x · Φ(x) = x · (1 + erf(x/√2)) / 2` (Hendrycks & Gimpel 2016), exactly:
    /// PyTorch's `gelu` as it comes. Negative results keep their relative accuracy down to the subnormal numbers. At
    /// −∞ it is the limit, 0 (PyTorch has NaN there).
    Gelu,
    /// `x · (1 + tanh(√(2/π) · (x + 0.044715·x³))) / 2`: PyTorch's `gelu` with `approximate="tanh"`. Below 0 the
    /// relative error grows with the argument of tanh, to some hundred units in the last place near the subnormal
    /// numbers; the absolute error stays below 5·10⁻⁸. At −∞ it is the limit, 0.
    GeluTanh,
    /// The logistic function `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// The hyperbolic tangent `(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)`.
    Tanh,
    /// `e^(xᵢ − m) / Σⱼ e^(xⱼ − m)` with `m = maxⱼ xⱼ`, over the features of a sample: only for the last layer of a
    /// network. A sample with a NaN, with +∞, or with −∞ alone becomes NaN, as in PyTorch.
    Softmax,
}

impl Activation {
    /// The slope of PyTorch's `LeakyReLU` where none is given.
    pub const LEAKY_SLOPE: f32 = 0.01;

    /// Refuses parameters that no layer can have.
    pub(crate) fn check(self, operation: &'static str) -> Result<()> {
        match self {
            Self::LeakyRelu(slope) if !slope.is_finite() => {
                Err(Error::value(operation, "activation", "a finite slope", self))
            }
            _ => Ok(()),
        }
    }

    /// Refuses what only the last layer of a network may have, on layer `index` before it.
    pub(crate) fn check_hidden(self, operation: &'static str, index: usize) -> Result<()> {
        if self == Self::Softmax {
            let subject = format!("activation of layer {index}");
            return Err(Error::value(operation, subject, "softmax after the last layer only", self));
        }
        Ok(())
    }
}

/// The activations that have no parameter, and their names.
const NAMES: [(Activation, &str); 7] = [
    (Activation::Identity, "identity"),
    (Activation::Relu, "relu"),
    (Activation::Gelu, "gelu"),
    (Activation::GeluTanh, "gelu_tanh"),
    (Activation::Sigmoid, "sigmoid"),
    (Activation::Tanh, "tanh"),
    (Activation::Softmax, "softmax"),
];

impl fmt::Display for Activation {
    /// A name that [`FromStr`] takes back, bit for bit: `relu`, `leaky_relu(0.01)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(activation, _)| activation == self) {
            Some((_, name)) => f.write_str(name),
            None => match self {
                // `?` writes the fewest digits that read back as the same number, and 1e-30 for what is small.
                Self::LeakyRelu(slope) => write!(f, "leaky_relu({slope:?})"),
                _ => unreachable!("the other activations have names"),
            },
        }
    }
}

impl FromStr for Activation {
    type Err = Error;

    /// The activation of a name, as [`Display`](fmt::Display) writes it.
    ///
    /// ```
    /// use tombola::Activation;
    /// assert_eq!("leaky_relu(0.2)".parse::<Activation>()?, Activation::LeakyRelu(0.2));
    /// assert_eq!(Activation::GeluTanh.to_string(), "gelu_tanh");
    /// # Ok::<(), tombola::Error>(())
    /// ```
    fn from_str(name: &str) -> Result<Self> {
        let operation = "Activation::from_str";
        if let Some((activation, _)) = NAMES.iter().find(|(_, known)| *known == name) {
            return Ok(*activation);
        }
        let slope = name.strip_prefix("leaky_relu(").and_then(|rest| rest.strip_suffix(')'));
        let slope = slope.and_then(|slope| slope.parse().ok()).filter(|slope: &f32| slope.is_finite());
        slope.map(Self::LeakyRelu).ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(_, name)| *name).collect();
            let expected = format!("{} or leaky_relu(…) with a finite slope", names.join(", "));
            Error::value(operation, "name", expected, format!("{name:?}"))
        })
    }
}
